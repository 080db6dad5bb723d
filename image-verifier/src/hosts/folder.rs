//! The folder of a host: where it is, and what is in it.

use std::io;
use std::path::{Path, PathBuf};

use super::{Host, Hosts, HostsError, toml};
use crate::node_file;

/// The most bytes of a `hosts.toml`.
const MAX_HOSTS: u64 = 1024 * 1024;
/// The most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 1024;

/// The folder for images of `name`: in each of `config_paths` that with the port between
/// underscores, that with the plain name, then `_default`.
pub(super) fn find(
    name: &str,
    config_paths: &[String],
    root: &Path,
) -> Result<Option<PathBuf>, HostsError> {
    let mut names = vec![name.to_owned(), "_default".to_owned()];
    if let Some((host, port)) = name.rsplit_once(':').filter(|(host, _)| !host.is_empty()) {
        names.insert(0, format!("{host}_{port}_"));
    }
    for config_path in config_paths.iter().filter(|path| !path.is_empty()) {
        for name in &names {
            let path = node_file::below(root, Path::new(config_path)).join(name);
            match std::fs::metadata(&path) {
                Ok(_) => return Ok(Some(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
    }
    Ok(None)
}

/// What a folder says: its `hosts.toml`, or the certificates in it, named as Docker names them. A
/// `hosts.toml` that does not parse is passed over, with a note.
pub(super) fn load(folder: &Path, upstream: &Host) -> Result<Hosts, HostsError> {
    let path = folder.join("hosts.toml");
    let mut notes = Vec::new();
    let bytes = node_file::read(&path, MAX_HOSTS)?.unwrap_or_default();
    if !bytes.is_empty() {
        let parsed = match std::str::from_utf8(&bytes) {
            Ok(text) => toml::parse(text, folder, upstream),
            Err(error) => Err(error.to_string()),
        };
        match parsed {
            Ok(hosts) => return Ok(Hosts { hosts, notes }),
            Err(bad) => notes.push(format!(
                "{} is passed over, as containerd does: {bad}",
                path.display()
            )),
        }
    }
    let host = certificates(folder, upstream)?;
    Ok(Hosts {
        hosts: vec![host],
        notes,
    })
}

/// Docker's layout: `*.crt` are authorities, `*.cert` client certificates with a `*.key` each.
fn certificates(folder: &Path, upstream: &Host) -> Result<Host, HostsError> {
    let mut host = upstream.clone();
    let entries = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut paths = Vec::new();
    for entry in entries.take(MAX_ENTRIES) {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => host.ca.get_or_insert_default().push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                let key = key.exists().then_some(key);
                host.client.push((path, key));
            }
            _ => {}
        }
    }
    Ok(host)
}

fn failed(path: &Path, error: &io::Error) -> HostsError {
    HostsError::Folder {
        path: path.display().to_string(),
        cause: error.to_string(),
    }
}
