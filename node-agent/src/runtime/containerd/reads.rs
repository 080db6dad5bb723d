//! What of ours a containerd has read, or would read now.

use node_runtime::containerd as config;
use node_runtime::containerd::Layout;
use policy::digest::Digest;

use super::host::Host;
use super::{Containerd, DROP_IN_END};
use crate::root::Root;
use crate::runtime::Restarts;
use crate::started::{Reads, Running};
use crate::state::{Role, State};

impl Containerd {
    /// What the running containerd would have to have read, before the files are written.
    pub(super) fn restarts(&self, layout: &Layout, state: &State, ours: bool) -> Restarts {
        let mut records = state.files.values();
        let edits_root = records.any(|record| record.role == Role::Edited);
        let Some(Ok(process)) = &self.process else {
            return Restarts::Unknown;
        };
        Restarts::Containerd(Reads {
            process: process.clone(),
            root_config: layout.root_config.clone(),
            edits_root,
            ours,
        })
    }

    /// What of ours a containerd which starts now reads.
    pub(crate) fn config_digest(&self, root: &Root) -> Option<Digest> {
        let path = self.layout(root).ok()?.root_config;
        let loaded = config::load(&Host(root), &path).ok()?;
        Some(ours_of(&loaded))
    }
}

/// What of ours a containerd that starts now would read; nothing where that cannot be told.
pub(crate) fn running(root: &Root, reads: &Reads) -> Option<Running> {
    let loaded = config::load(&Host(root), &reads.root_config).ok()?;
    let files = loaded.files.iter();
    let ours =
        files.filter(|file| is_ours(file) || (reads.edits_root && *file.path == *loaded.root));
    Some(Running {
        process: reads.process.start.clone(),
        started_at: reads.process.started_at,
        config: ours_of(&loaded),
        newest: ours.filter_map(|file| file.modified).max(),
        ours: reads.ours,
    })
}

fn is_ours(file: &config::File) -> bool {
    file.path.ends_with(DROP_IN_END)
}

/// The digest of the drop-in, if it is read. What others write into containerd's configuration is for
/// them to restart it for: it may be half done, or wrong.
fn ours_of(loaded: &config::Loaded) -> Digest {
    let files = loaded.files.iter().filter(|file| is_ours(file));
    let texts: Vec<String> = files
        .map(|file| format!("{}\n{}\n", file.path, file.text))
        .collect();
    Digest::of(texts.concat().as_bytes())
}
