//! Which file containerd's configuration begins with, and the layout that goes with it.

use std::path::PathBuf;

use node_runtime::containerd::{self as config, Layout};
use node_runtime::process::{
    ConfigPath, Containerd as CommandLine, DEFAULT_CONTAINERD_CONFIG, containerd_config_path,
};

use super::Containerd;
use super::host::Host;
use crate::error::CycleError;
use crate::root::Root;

impl Containerd {
    /// Whether the command line of the process names a configuration file: then there is one.
    pub(super) fn is_given(&self) -> bool {
        self.root_config().is_ok_and(|config| config.given)
    }

    /// The root file, as the command line of the agent has it, or that of the process.
    fn root_config(&self) -> Result<ConfigPath, CycleError> {
        if let Some(path) = &self.config {
            let path = path.into();
            return Ok(ConfigPath { path, given: false });
        }
        let Some(Ok(process)) = &self.process else {
            let path = DEFAULT_CONTAINERD_CONFIG.into();
            return Ok(ConfigPath { path, given: false });
        };
        let found = containerd_config_path(&process.argv, process.cwd.as_deref());
        found.ok_or_else(|| CycleError::Unseen {
            path: CommandLine::parse(&process.argv).config.unwrap_or_default(),
            why:
                "a relative path, and the folder in which it was started cannot be seen: start it \
                  with an absolute path, or name the file with --containerd-config"
                    .to_owned(),
        })
    }

    pub(super) fn layout(&self, root: &Root) -> Result<Layout, CycleError> {
        let argv = match &self.process {
            Some(Ok(process)) => process.argv.as_slice(),
            _ => &[],
        };
        let ConfigPath { path, .. } = self.root_config()?;
        // Without `.`, which a relative path may begin with.
        let path: PathBuf = path.components().collect();
        let os_id = os_id(root);
        Ok(config::recognise(
            argv,
            &path.to_string_lossy(),
            os_id.as_deref(),
            &Host(root),
        ))
    }
}

/// The `ID` of os-release(5).
fn os_id(root: &Root) -> Option<String> {
    let files = ["etc/os-release", "usr/lib/os-release"];
    let content = files
        .iter()
        .find_map(|path| root.read_following(path, 64 * 1024).ok().flatten())?;
    let text = String::from_utf8_lossy(&content.bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("ID="))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}
