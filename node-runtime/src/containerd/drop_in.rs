//! The drop-in that makes containerd run the verifier.

use std::collections::BTreeMap;

use toml_edit::{DocumentMut, Item, Table, Value};

use super::bypass::{Enforcement, Fix};
use super::effective::{Effective, VERIFIER};
use super::enforcement::key_of;
use super::merge::{Generation, IMAGES};

/// What goes into a drop-in.
#[derive(Debug, Clone, Copy)]
pub struct DropIn<'a> {
    /// The folder with the verifier, absolute.
    pub bin_dir: &'a str,
    /// Also turn off what makes CRI pull by itself, where a drop-in can.
    pub fix_local_pull: bool,
    /// The one folder with hosts.toml files to keep when `config_path` names several and pulls
    /// come to go through the transfer service; the first of them when `None`.
    pub hosts_folder: Option<&'a str>,
}

/// The text of the drop-in.
///
/// `effective` and `enforcement` are those of the configuration **without** the drop-in: with it,
/// there would be nothing left to fix. `max_verifiers` and `per_verifier_timeout` of the node stay
/// as they are unless no verifier could ever say yes or no under them (0 verifiers; no time).
///
/// `config_path` becomes a single folder when everything that makes CRI pull by itself goes away
/// and it was a list, because the transfer service would take the list as one folder and so lose
/// the node's mirrors ([`super::Images::hosts_folders`]).
#[must_use]
pub fn drop_in(effective: &Effective, enforcement: &Enforcement, options: &DropIn) -> String {
    let mut settings: BTreeMap<Vec<String>, Value> = BTreeMap::new();
    let verifier = |key: &str| vec![VERIFIER.to_owned(), key.to_owned()];
    settings.insert(verifier("bin_dir"), options.bin_dir.into());
    if effective.verifier.max_verifiers.value == 0 {
        settings.insert(verifier("max_verifiers"), 10.into());
    }
    if effective.verifier.per_verifier_timeout_ms.value <= 0 {
        settings.insert(verifier("per_verifier_timeout"), "10s".into());
    }
    if options.fix_local_pull
        && let Enforcement::None { why } = enforcement
    {
        let local = || why.iter().filter(|bypass| bypass.predicate.is_local_pull());
        for bypass in local() {
            if let Some(Fix::DropIn { key, value }) = &bypass.fix
                && let Ok(value) = value.parse::<Value>()
            {
                settings.insert(key.clone(), value);
            }
        }
        let all = local().all(|bypass| matches!(bypass.fix, Some(Fix::DropIn { .. })));
        let folders = effective.images.hosts_folders(false);
        if all
            && local().next().is_some()
            && effective.images.config_path.value.contains(':')
            && let Some(folder) = options.hosts_folder.or_else(|| folders.first().copied())
        {
            settings.insert(hosts_key(effective), folder.into());
        }
    }
    render(version(effective), settings, fixes(enforcement, options))
}

/// Why a drop-in that names `bin_dir` is not in force under a merged configuration that has it, and
/// what to do; `None` when it is.
///
/// Imports are read level by level (`LoadConfig`, [`super::load`]), so a file that an imported file
/// imports comes after every drop-in of the root file, whatever its name.
#[must_use]
pub fn not_in_force(merged: &Effective, bin_dir: &str) -> Option<String> {
    let setting = &merged.verifier.bin_dir;
    if setting.value.trim_end_matches('/') == bin_dir.trim_end_matches('/') {
        return None;
    }
    Some(match &setting.origin {
        Some(origin) => format!(
            "{} sets the folder of verifiers to `{}`, and is read after nodeseal's drop-in: take \
             `bin_dir` out there, or import that file from the root file",
            origin.place(),
            setting.value
        ),
        None => "containerd does not read nodeseal's drop-in: add its folder to `imports` of the \
                 root file"
            .to_owned(),
    })
}

/// The `version` of the drop-in: the root file's, with these exceptions, for each of which another
/// number would change what the node's own files mean.
///
/// Up to 2.2 the last `version` of any file decides whether all of them are migrated
/// (`cmd/containerd/server/config/config.go@2.2.1:LoadConfig`, `server.go@2.2.1:New`), so the one
/// that counts now is repeated; it is the root file's unless another drop-in says otherwise. A root
/// file without a version, or of version 1, is taken as the newest by then; a drop-in of version 1
/// would still do for it, but 2.x warns of such. From 2.3 on a root file without a version takes
/// any drop-in.
fn version(effective: &Effective) -> i64 {
    match (effective.generation, effective.root_version) {
        (Generation::MigrateThenMerge, Some(version)) if version > 0 => version,
        (Generation::MigrateThenMerge, _) => 3,
        (Generation::Replace | Generation::MergeThenMigrate, _) => effective.version,
    }
}

/// Where `config_path` is to be written: beside the rest of `registry`, since a migrated `registry`
/// replaces the whole one under the new name.
fn hosts_key(effective: &Effective) -> Vec<String> {
    let images = &effective.images;
    if let Some(origin) = &images.config_path.origin {
        let mut key = key_of(effective, Some(origin), "config_path");
        // The new name has no table of its own in `key_of`.
        if key.len() == 2 {
            key.insert(1, "registry".to_owned());
        }
        return key;
    }
    let mut key = match &images.registry {
        Some(origin) => key_of(effective, Some(origin), "registry"),
        None => [IMAGES, "registry"].map(str::to_owned).to_vec(),
    };
    key.push("config_path".to_owned());
    key
}

/// What is turned off, for the reader of the file.
fn fixes(enforcement: &Enforcement, options: &DropIn) -> Vec<String> {
    match enforcement {
        Enforcement::None { why } if options.fix_local_pull => why
            .iter()
            .filter(|bypass| {
                bypass.predicate.is_local_pull() && matches!(bypass.fix, Some(Fix::DropIn { .. }))
            })
            .map(|bypass| {
                // Without the line: an import that is added above moves it, and another text would be
                // another configuration to restart for.
                let file = bypass.origin.as_ref().map(|origin| &origin.file);
                let place = file.map_or(String::new(), |file| format!(" in {file}"));
                format!("`{} = {}`{place}", bypass.predicate.name(), bypass.value)
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn render(version: i64, settings: BTreeMap<Vec<String>, Value>, fixes: Vec<String>) -> String {
    let mut document = DocumentMut::new();
    document.insert("version", toml_edit::value(version));
    let mut plugins = Table::new();
    plugins.set_implicit(true);
    for (key, value) in settings {
        put(&mut plugins, &key, value);
    }
    document.insert("plugins", Item::Table(plugins));
    let mut text = String::from(
        "# Written by nodeseal. Every image pull over CRI runs the verifier in this folder.\n",
    );
    if !fixes.is_empty() {
        text.push_str("# Turned off here, since with any of it CRI pulls past the verifier:\n");
        for fix in fixes {
            // A value is one line of a comment, whatever it holds.
            let fix: String = fix.chars().filter(|c| !c.is_control()).collect();
            text.push_str("#   ");
            text.push_str(&fix);
            text.push('\n');
        }
    }
    text.push_str(&document.to_string());
    text
}

/// Tables on the way to the value get a header only where they have values of their own.
fn put(table: &mut Table, key: &[String], value: Value) {
    match key {
        [] => {}
        [name] => {
            table.insert(name, Item::Value(value));
        }
        [name, below @ ..] => {
            let item = table.entry(name).or_insert_with(|| {
                let mut table = Table::new();
                table.set_implicit(true);
                Item::Table(table)
            });
            if let Item::Table(table) = item {
                put(table, below, value);
            }
        }
    }
}

/// For the tests: what a drop-in can fix.
#[cfg(test)]
pub(super) fn fixable(predicate: super::Predicate) -> bool {
    use super::Predicate as P;
    matches!(
        predicate,
        P::NoVerifiers
            | P::NoBinDir
            | P::UseLocalImagePull
            | P::SnapshotAnnotations
            | P::DiscardUnpackedLayers
            | P::MaxConcurrentDownloads
            | P::ImagePullWithSyncFs
    )
}

#[cfg(test)]
#[path = "drop_in_tests.rs"]
mod tests;
