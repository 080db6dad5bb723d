//! The settings that matter, with their defaults, and where each was written.

use policy::version::Version;

use super::fields::{boolean, checked_table, duration_ms, entries, integer, text, wrong_type};
use super::load::Loaded;
use super::merge::{CRI, Generation, HOSTS_DEFAULT, IMAGES, Merged, merge, migrates_hosts};
use super::value::{Origin, Table, Value, field};

/// The plugin that runs verifiers; its name is the same in all versions of a configuration.
pub(super) const VERIFIER: &str = "io.containerd.image-verifier.v1.bindir";
const TRANSFER: &str = "io.containerd.transfer.v1.local";

/// A value, and where it was written; without a place it is containerd's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Option<Origin>,
}

impl<T> Setting<T> {
    pub(super) fn default_of(value: T) -> Self {
        Self {
            value,
            origin: None,
        }
    }
}

/// The settings of the plugin that runs verifiers
/// (`plugins/imageverifier/plugin.go@2.2.1:defaultConfig`, the same in 2.0 to 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    /// The folder of verifiers; `/opt/containerd/image-verifier/bin` by default.
    pub bin_dir: Setting<String>,
    /// How many of its entries are run; 10 by default, no limit below 0.
    pub max_verifiers: Setting<i64>,
    /// How long one may take, in milliseconds; 10,000 by default. At 0 or below none can finish.
    pub per_verifier_timeout_ms: Setting<i64>,
}

/// The settings of CRI's images (`internal/cri/config/config_unix.go@2.2.1:DefaultImageConfig`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The image of pod sandboxes, where a file names one.
    pub sandbox_image: Option<Setting<String>>,
    /// The snapshotter, where a file names one.
    pub snapshotter: Option<Setting<String>>,
    /// The folder or folders with `<host>/hosts.toml`; see [`Images::hosts_folders`]. Empty up
    /// to 2.1; `/etc/containerd/certs.d:/etc/docker/certs.d` from 2.2 on, unless there are mirrors
    /// (`config_unix.go@2.2.1`; from 2.2.2 on `plugins/cri/images/plugin.go@2.2.9:init`).
    pub config_path: Setting<String>,
    /// `use_local_image_pull`, from 2.1; false by default.
    pub use_local_image_pull: Setting<bool>,
    /// `disable_snapshot_annotations`; true by default in 2.x.
    pub disable_snapshot_annotations: Setting<bool>,
    /// `discard_unpacked_layers`; false by default.
    pub discard_unpacked_layers: Setting<bool>,
    /// `max_concurrent_downloads`; 3 by default.
    pub max_concurrent_downloads: Setting<i64>,
    /// `image_pull_with_sync_fs`; false by default.
    pub image_pull_with_sync_fs: Setting<bool>,
    /// How many entries `registry.mirrors` has.
    pub mirrors: Setting<usize>,
    /// How many entries `registry.configs` has.
    pub configs: Setting<usize>,
    /// How many entries `registry.auths` has.
    pub auths: Setting<usize>,
    /// Where `registry` itself stands, so that a key can be added beside the others.
    pub(super) registry: Option<Origin>,
}

/// A plugin that `disabled_plugins` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Its full id.
    pub plugin: String,
    /// Where it was named.
    pub origin: Origin,
}

/// A reason for which containerd would not start with these files, or not as they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, and what to do.
    pub message: String,
    /// Where.
    pub origin: Option<Origin>,
}

/// What a containerd makes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// How it was merged.
    pub generation: Generation,
    /// The `version` of the root file; 0 where it has none, `None` where there is no root file.
    pub root_version: Option<i64>,
    /// The version that counts once all files are merged: up to 2.2 the last one of any file,
    /// so that a drop-in with another version than the root file's changes what the whole means.
    pub version: i64,
    /// The plugin that runs verifiers.
    pub verifier: Verifier,
    /// CRI's images.
    pub images: Images,
    /// Those disabled plugins without which no pull is verified: CRI's, the transfer service, and
    /// the one that runs verifiers.
    pub disabled: Vec<Disabled>,
    /// What keeps containerd from starting. Not empty: the values above may be wrong.
    pub problems: Vec<Problem>,
}

/// Merges the files as a containerd of this version does; as 2.2 where it is not known.
#[must_use]
pub fn effective(loaded: &Loaded, version: Option<Version>) -> Effective {
    let generation = Generation::of(version);
    let merged = merge(loaded, version);
    let mut problems = versions(loaded, &merged, version);
    let empty = Table::new();
    let table = |id: &str| match merged.plugins.get(id).map(|node| &node.value) {
        Some(Value::Table(table)) => table,
        _ => &empty,
    };
    for id in [VERIFIER, IMAGES, CRI] {
        if let Some(node) = merged.plugins.get(id)
            && !matches!(node.value, Value::Table(_))
        {
            problems.push(wrong_type(node, "a table"));
        }
    }
    let verifier = verifier(table(VERIFIER), &mut problems);
    let images = match generation {
        Generation::Replace => images_of_1(table(CRI), &mut problems),
        _ => images(table(IMAGES), version, &mut problems),
    };
    let needed = [
        CRI,
        IMAGES,
        "io.containerd.cri.v1.runtime",
        VERIFIER,
        TRANSFER,
    ];
    let disabled = merged
        .disabled
        .iter()
        .filter(|(plugin, _)| needed.contains(&plugin.as_str()))
        .map(|(plugin, origin)| Disabled {
            plugin: plugin.clone(),
            origin: origin.clone(),
        })
        .collect();
    Effective {
        generation,
        root_version: loaded.root_file().map(|file| file.version),
        version: merged.version,
        verifier,
        images,
        disabled,
        problems,
    }
}

/// `config.go@2.2.1:ValidateVersion`, and for 2.3.0 to 2.3.4 `LoadConfigWithPlugins`, which refuses
/// a drop-in of a higher version than the first version it saw.
fn versions(loaded: &Loaded, merged: &Merged, version: Option<Version>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let newest = Generation::of(version).newest_version();
    let mut first = 0;
    for file in &loaded.files {
        let mut problem = |message: String| {
            let origin = field(&file.table, "version").map(|node| node.origin.clone());
            problems.push(Problem { message, origin });
        };
        if first == 0 {
            first = file.version;
        }
        let strict = version.is_some_and(|v| v.line() == (2, 3) && v.patch < 5);
        if file.version < 0 {
            problem(format!(
                "there is no configuration version {}",
                file.version
            ));
        } else if strict && file.version > first {
            problem(format!(
                "this containerd does not start on a drop-in of version {}, which is above the \
                 root file's {first}: give it the version of the root file",
                file.version
            ));
        } else if file.version > newest && file.version == merged.version {
            problem(format!(
                "this containerd knows configuration versions up to {newest}, not {}",
                file.version
            ));
        }
    }
    problems
}

fn verifier(table: &Table, problems: &mut Vec<Problem>) -> Verifier {
    let default = "/opt/containerd/image-verifier/bin".to_owned();
    let timeout = field(table, "per_verifier_timeout").and_then(|node| {
        let text = match &node.value {
            Value::Text(text) => Some(text.clone()),
            // A bare number is parsed as the text of a duration: only 0 is one.
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        let value = text.and_then(|text| duration_ms(&text));
        if value.is_none() {
            problems.push(wrong_type(node, "a duration such as '10s'"));
        }
        value.map(|value| Setting {
            value,
            origin: Some(node.origin.clone()),
        })
    });
    Verifier {
        bin_dir: text(table, "bin_dir", problems).unwrap_or_else(|| Setting::default_of(default)),
        max_verifiers: integer(table, "max_verifiers", 10, problems),
        per_verifier_timeout_ms: timeout.unwrap_or_else(|| Setting::default_of(10_000)),
    }
}

fn images(table: &Table, version: Option<Version>, problems: &mut Vec<Problem>) -> Images {
    let empty = Table::new();
    let pinned = checked_table(table, "pinned_images", problems).unwrap_or(&empty);
    let registry = checked_table(table, "registry", problems).unwrap_or(&empty);
    let mut images = Images {
        sandbox_image: text(pinned, "sandbox", problems),
        snapshotter: text(table, "snapshotter", problems),
        config_path: text(registry, "config_path", problems)
            .unwrap_or_else(|| Setting::default_of(String::new())),
        use_local_image_pull: boolean(table, "use_local_image_pull", false, problems),
        disable_snapshot_annotations: boolean(
            table,
            "disable_snapshot_annotations",
            true,
            problems,
        ),
        discard_unpacked_layers: boolean(table, "discard_unpacked_layers", false, problems),
        max_concurrent_downloads: integer(table, "max_concurrent_downloads", 3, problems),
        image_pull_with_sync_fs: boolean(table, "image_pull_with_sync_fs", false, problems),
        mirrors: entries(registry, "mirrors", problems),
        configs: entries(registry, "configs", problems),
        auths: entries(registry, "auths", problems),
        registry: field(table, "registry").map(|node| node.origin.clone()),
    };
    let path = &mut images.config_path;
    let absent = path.origin.is_none();
    let defaults = if migrates_hosts(version) {
        absent
    } else {
        version.is_none_or(|v| v.line() >= (2, 2))
            && path.value.is_empty()
            && images.mirrors.value == 0
    };
    if defaults {
        HOSTS_DEFAULT.clone_into(&mut path.value);
    }
    images
}

/// Up to 1.7 there is one table for all of CRI, and no verifier to go past
/// (`pkg/cri/config/config.go@1.7.29:PluginConfig`).
fn images_of_1(cri: &Table, problems: &mut Vec<Problem>) -> Images {
    let empty = Table::new();
    let mut images = images(cri, Some(Version::new(1, 7, 0)), problems);
    let containerd = checked_table(cri, "containerd", problems).unwrap_or(&empty);
    images.sandbox_image = text(cri, "sandbox_image", problems);
    images.snapshotter = text(containerd, "snapshotter", problems);
    images
}

impl Images {
    /// The folders in which hosts.toml files are looked up. Local pulls split the value at colons
    /// (`internal/cri/server/images/image_pull.go@2.2.1:registryHosts`); the transfer service takes
    /// it as the name of **one** folder (`WithHostDir` in the same file, and
    /// `core/transfer/registry/registry.go`; unchanged in 2.4).
    #[must_use]
    pub fn hosts_folders(&self, through_transfer: bool) -> Vec<&str> {
        let path = self.config_path.value.as_str();
        if through_transfer {
            vec![path]
                .into_iter()
                .filter(|path| !path.is_empty())
                .collect()
        } else {
            path.split(':').filter(|path| !path.is_empty()).collect()
        }
    }
}

#[cfg(test)]
#[path = "effective_tests.rs"]
mod tests;
