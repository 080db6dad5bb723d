//! From a configuration's files to one table of plugins, as each containerd merges and migrates.

use policy::version::Version;

use super::load::{File, Loaded};
use super::value::{Node, Origin, Table, Value, field};

/// CRI's settings in a configuration of version 2.
pub(super) const CRI: &str = "io.containerd.grpc.v1.cri";
/// The settings of CRI's images from version 3 on.
pub(super) const IMAGES: &str = "io.containerd.cri.v1.images";
/// What 2.2.0 and 2.2.1 put in place of an empty `config_path` when they migrate.
pub(super) const HOSTS_DEFAULT: &str = "/etc/containerd/certs.d:/etc/docker/certs.d";

/// How a containerd comes from files to settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// Up to 1.7: a plugin's table in a later file replaces that of an earlier one as a whole
    /// (`services/server/config/config.go@1.7.29:mergeConfig`), and nothing is migrated.
    Replace,
    /// 2.0 to 2.2: plugin tables are merged key by key, and the merged ones are migrated once if
    /// the last `version` of any file is below 3
    /// (`cmd/containerd/server/config/config.go@2.2.1:mergeConfig`, `server.go@2.2.1:New`).
    MergeThenMigrate,
    /// From 2.3: each file is migrated to version 4 on its own, and then merged
    /// (`cmd/containerd/server/config/config.go@2.3.0:LoadConfigWithPlugins`).
    MigrateThenMerge,
}

impl Generation {
    /// Of this version; of 2.2 where it is not known.
    #[must_use]
    pub fn of(version: Option<Version>) -> Self {
        match version.map(Version::line) {
            Some(line) if line < (2, 0) => Self::Replace,
            Some(line) if line >= (2, 3) => Self::MigrateThenMerge,
            _ => Self::MergeThenMigrate,
        }
    }

    /// The newest version of a configuration that it knows (`version/version.go:ConfigVersion`).
    #[must_use]
    pub fn newest_version(self) -> i64 {
        match self {
            Self::Replace => 2,
            Self::MergeThenMigrate => 3,
            Self::MigrateThenMerge => 4,
        }
    }
}

/// All files in one.
pub(super) struct Merged {
    /// The version that counts at the end.
    pub version: i64,
    /// By full plugin id.
    pub plugins: Table,
    /// `disabled_plugins`, each entry once.
    pub disabled: Vec<(String, Origin)>,
}

pub(super) fn merge(loaded: &Loaded, version: Option<Version>) -> Merged {
    let generation = Generation::of(version);
    let mut merged = Merged {
        // What containerd's defaults have, which a file's version replaces. In 1.7 they have 1.
        version: match generation {
            Generation::Replace => 1,
            other => other.newest_version(),
        },
        plugins: Table::new(),
        disabled: Vec::new(),
    };
    for file in &loaded.files {
        let mut plugins = plugins_of(file);
        match generation {
            Generation::Replace => {
                // Version 0 is "not said", which leaves what an earlier file said.
                if file.version != 0 {
                    merged.version = file.version;
                }
                merged.plugins.extend(plugins);
            }
            Generation::MergeThenMigrate => {
                // Files of version 0 and 1 become the version that counts so far, in name alone:
                // their CRI settings are not migrated (`LoadConfig`, `MigrateConfigTo`).
                if file.version > 1 {
                    merged.version = file.version;
                }
                merge_tables(&mut merged.plugins, plugins);
            }
            Generation::MigrateThenMerge => {
                if file.version < generation.newest_version() {
                    migrate(&mut plugins, version);
                } else {
                    merged.version = file.version;
                }
                merge_tables(&mut merged.plugins, plugins);
            }
        }
        merge_disabled(&mut merged.disabled, file);
    }
    if generation == Generation::MergeThenMigrate && merged.version < generation.newest_version() {
        migrate(&mut merged.plugins, version);
    }
    merged
}

/// A file's plugins; those of version 0 and 1 under their full names.
fn plugins_of(file: &File) -> Table {
    let Some(Node {
        value: Value::Table(plugins),
        ..
    }) = field(&file.table, "plugins")
    else {
        return Table::new();
    };
    plugins
        .iter()
        .map(|(name, node)| (full_name(name, file.version), node.clone()))
        .collect()
}

/// The names of version 1 that matter here
/// (`cmd/containerd/server/config/config.go@2.2.1:v1MigratePluginName`).
fn full_name(name: &str, version: i64) -> String {
    if version > 1 || name.contains('.') {
        name.to_owned()
    } else if name == "cri" {
        CRI.to_owned()
    } else {
        format!("io.containerd.unknown.v1.{name}")
    }
}

/// Slices at the top level are united (`config.go@2.2.1:sliceTransformer`); in 1.7 they are
/// appended, which is the same for what is asked here.
fn merge_disabled(disabled: &mut Vec<(String, Origin)>, file: &File) {
    let Some(Node {
        value: Value::Array(entries),
        ..
    }) = field(&file.table, "disabled_plugins")
    else {
        return;
    };
    for entry in entries {
        if let Value::Text(name) = &entry.value {
            let name = full_name(name, file.version);
            if !disabled.iter().any(|(there, _)| *there == name) {
                disabled.push((name, entry.origin.clone()));
            }
        }
    }
}

/// `mergo.Merge` with `WithOverride` on `map[string]any` (dario.cat/mergo v1.0.2,
/// merge.go:deepMerge): tables are merged; anything else, an array, `false`, 0 or an empty string
/// too, replaces what was there. No key can be taken away.
fn merge_tables(into: &mut Table, from: Table) {
    for (key, node) in from {
        match (into.get_mut(&key).map(|node| &mut node.value), node.value) {
            (Some(Value::Table(into)), Value::Table(from)) if !into.is_empty() => {
                merge_tables(into, from);
            }
            (_, value) => {
                let origin = node.origin;
                into.insert(key, Node { value, origin });
            }
        }
    }
}

/// From CRI's one table of version 2 to that of its images
/// (`plugins/cri/images/plugin.go@2.2.1:migrateConfig`; the same in 2.0 to 2.4 but for the
/// default of `config_path`).
///
/// What is copied replaces what is there. The keys below `containerd` are copied only where it
/// has `runtimes`: without them the function returns before it comes to them.
fn migrate(plugins: &mut Table, version: Option<Version>) {
    let Some(Node {
        value: Value::Table(cri),
        origin,
    }) = plugins.get(CRI)
    else {
        return;
    };
    let (cri, origin) = (cri.clone(), origin.clone());
    let images = plugins.entry(IMAGES.to_owned()).or_insert_with(|| Node {
        value: Value::Table(Table::new()),
        origin: origin.clone(),
    });
    let Value::Table(images) = &mut images.value else {
        return;
    };

    if let Some(sandbox) = cri.get("sandbox_image") {
        let pinned = images
            .entry("pinned_images".to_owned())
            .or_insert_with(|| Node {
                value: Value::Table(Table::new()),
                origin: sandbox.origin.clone(),
            });
        if let Value::Table(pinned) = &mut pinned.value {
            pinned.insert("sandbox".to_owned(), sandbox.clone());
        }
    }
    for key in [
        "registry",
        "image_decryption",
        "max_concurrent_downloads",
        "image_pull_progress_timeout",
        "image_pull_with_sync_fs",
        "stats_collect_period",
    ] {
        if let Some(node) = cri.get(key) {
            images.insert(key.to_owned(), node.clone());
        }
    }
    if migrates_hosts(version)
        && let Some(Value::Table(registry)) = images.get_mut("registry").map(|node| &mut node.value)
        && let Some(path) = registry.get_mut("config_path")
        && path.value == Value::Text(String::new())
    {
        path.value = Value::Text(HOSTS_DEFAULT.to_owned());
    }
    let Some(Value::Table(containerd)) = cri.get("containerd").map(|node| &node.value) else {
        return;
    };
    if !containerd.contains_key("runtimes") {
        return;
    }
    for key in [
        "snapshotter",
        "disable_snapshot_annotations",
        "discard_unpacked_layers",
    ] {
        if let Some(node) = containerd.get(key) {
            images.insert(key.to_owned(), node.clone());
        }
    }
}

/// Only 2.2.0 and 2.2.1 put the default in while migrating; from 2.2.2 on it is put in when the
/// plugin starts (`plugins/cri/images/plugin.go@2.2.9:init`).
pub(super) fn migrates_hosts(version: Option<Version>) -> bool {
    version.is_some_and(|v| v.line() == (2, 2) && v.patch < 2)
}
