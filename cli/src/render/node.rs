//! What a CRI-O node has of its own.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use policy::crio::document::{MAX_BYTES, PolicyJson};
use policy::crio::registries_conf::{self, Registry, Source};
use policy::explain::packaged_crio;
use policy::version::Version;

use crate::output::Answer;

/// What a CRI-O node has of its own.
pub(super) struct OwnFiles {
    pub(super) base: PolicyJson,
    pub(super) registries: Vec<Registry>,
}

/// The node's own files, or what to answer instead. Without `base` they are those of CRI-O's
/// packages.
pub(super) fn own_files(
    version: Version,
    base: Option<&PathBuf>,
    registries_conf: &[PathBuf],
) -> Result<OwnFiles, (Answer, String)> {
    let base = match base {
        Some(path) => PolicyJson::parse(&read(path)?).map_err(|error| refused(path, &error))?,
        None => packaged_crio(version).base,
    };
    let registries = registries(registries_conf)?;
    Ok(OwnFiles { base, registries })
}

/// registries.conf, then its drop-ins.
fn registries(paths: &[PathBuf]) -> Result<Vec<Registry>, (Answer, String)> {
    let mut files = Vec::new();
    for path in paths {
        let text = String::from_utf8(read(path)?).map_err(|error| refused(path, &error))?;
        files.push((path.display().to_string(), text));
    }
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let (main, drop_ins) = match sources.split_first() {
        Some((main, drop_ins)) => (Some(*main), drop_ins),
        None => (None, &[][..]),
    };
    registries_conf::merge(main, drop_ins).map_err(|why| refused(Path::new(&why.file), &why.error))
}

fn read(path: &Path) -> Result<Vec<u8>, (Answer, String)> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            (Answer::Unknown, message)
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!(
            "{} has more than {MAX_BYTES} bytes: is it the right file?",
            path.display()
        );
        return Err((Answer::Unknown, message));
    }
    Ok(bytes)
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> (Answer, String) {
    let message = format!(
        "{}: CRI-O would not accept this file: {error}",
        path.display()
    );
    (Answer::No, message)
}
