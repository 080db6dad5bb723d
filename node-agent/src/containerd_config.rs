//! What the node's own containerd configuration says, as a pure function over its text.
//!
//! Only the root file is read, not what it imports: the questions here are what a drop-in of ours
//! must look like and whether containerd would read it at all.

use policy::containerd::ConfigVersion;
use policy::paths::CONTAINERD_DROP_IN;
use toml_edit::{DocumentMut, Item, TableLike};

use crate::root::split;

/// Where containerd looks for its configuration when its command line names no other file.
pub const DEFAULT_PATH: &str = "etc/containerd/config.toml";
/// The plugin that runs verifiers; its name is the same in all versions of the configuration.
const VERIFIER_PLUGIN: &str = "io.containerd.image-verifier.v1.bindir";

/// What there is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerdConfig {
    /// The version of the file, which a drop-in must repeat.
    pub version: ConfigVersion,
    /// `imports` names the folder of our drop-in.
    pub imports_drop_in: bool,
    /// All entries of `imports`.
    pub imports: Vec<String>,
    /// The folder with verifiers, where the file names one.
    pub bin_dir: Option<String>,
    /// How long one verifier may take, in milliseconds, where the file says so.
    pub per_verifier_timeout_ms: Option<u64>,
    /// The image of the pod sandbox, where the file names one.
    pub sandbox_image: Option<String>,
    /// `max_verifiers = 0`: no verifier is ever run.
    pub verifiers_off: bool,
    /// The folders with hosts.toml files (`config_path` of CRI's registry), where the file says so;
    /// none at all where it names the empty path.
    pub registry_folders: Option<Vec<String>>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not UTF-8.
    #[error("{path} is not UTF-8 text")]
    Text {
        /// The file.
        path: String,
    },
    /// Not TOML.
    #[error("{path} is not valid TOML: {source}")]
    Toml {
        /// The file.
        path: String,
        /// Where and why.
        source: toml_edit::TomlError,
    },
    /// A version for which no drop-in can be written.
    #[error(
        "{path} has configuration version {version}; nodeseal works with versions 2, 3 and 4: \
         bring it up to date with `containerd config migrate`"
    )]
    Version {
        /// The file.
        path: String,
        /// Its version; without the line it is 1.
        version: i64,
    },
}

/// Reads the text of the configuration at `path` (relative to the root); `None` is a missing file.
pub fn parse(path: &str, text: Option<&[u8]>) -> Result<ContainerdConfig, ConfigError> {
    let Some(bytes) = text else {
        return Ok(ContainerdConfig::default());
    };
    let shown = || format!("/{path}");
    let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::Text { path: shown() })?;
    let document: DocumentMut = text.parse().map_err(|source| ConfigError::Toml {
        path: shown(),
        source,
    })?;
    let root = document.as_table();
    let number = root.get("version").and_then(Item::as_integer).unwrap_or(1);
    let version = ConfigVersion::from_number(number).ok_or_else(|| ConfigError::Version {
        path: shown(),
        version: number,
    })?;

    let imports: Vec<String> = root
        .get("imports")
        .and_then(Item::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.as_str().map(str::to_owned))
        .collect();
    let base = format!("/{}", split(path).0);
    let drop_in = format!("/{CONTAINERD_DROP_IN}");
    let imports_drop_in = imports.iter().any(|entry| {
        let absolute = entry.starts_with('/');
        let pattern = if absolute {
            entry.clone()
        } else {
            format!("{base}/{entry}")
        };
        matches(pattern.as_bytes(), drop_in.as_bytes())
    });

    let plugins = root.get("plugins").and_then(Item::as_table_like);
    let plugin = |name: &str| table(plugins, name);
    let verifier = plugin(VERIFIER_PLUGIN);
    let text_of = |table: Option<&dyn TableLike>, key: &str| {
        table
            .and_then(|table| table.get(key))
            .and_then(Item::as_str)
            .map(str::to_owned)
    };
    let sandbox_image = match version {
        ConfigVersion::V2 => text_of(plugin("io.containerd.grpc.v1.cri"), "sandbox_image"),
        ConfigVersion::V3 | ConfigVersion::V4 => {
            let images = plugin("io.containerd.cri.v1.images");
            text_of(table(images, "pinned_images"), "sandbox")
        }
    };
    let registry = match version {
        ConfigVersion::V2 => table(plugin("io.containerd.grpc.v1.cri"), "registry"),
        ConfigVersion::V3 | ConfigVersion::V4 => {
            table(plugin("io.containerd.cri.v1.images"), "registry")
        }
    };
    let registry_folders = text_of(registry, "config_path").map(|path| {
        let folders = path.split(':').filter(|folder| folder.starts_with('/'));
        folders.map(str::to_owned).collect()
    });
    Ok(ContainerdConfig {
        version,
        imports_drop_in,
        imports,
        bin_dir: text_of(verifier, "bin_dir"),
        per_verifier_timeout_ms: text_of(verifier, "per_verifier_timeout")
            .and_then(|text| duration_ms(&text)),
        sandbox_image,
        verifiers_off: verifier
            .and_then(|table| table.get("max_verifiers"))
            .and_then(Item::as_integer)
            == Some(0),
        registry_folders,
    })
}

fn table<'a>(parent: Option<&'a dyn TableLike>, key: &str) -> Option<&'a dyn TableLike> {
    parent
        .and_then(|parent| parent.get(key))
        .and_then(Item::as_table_like)
}

impl ContainerdConfig {
    /// The line that makes containerd read our drop-in: what is imported now, and our folder.
    #[must_use]
    pub fn imports_line(&self) -> String {
        let ours = format!("/{}/*.toml", split(CONTAINERD_DROP_IN).0);
        let entries: Vec<String> = self
            .imports
            .iter()
            .chain([&ours])
            .map(|entry| format!("\"{entry}\""))
            .collect();
        format!("imports = [{}]", entries.join(", "))
    }
}

/// The rules of Go's `filepath.Match` that matter: `*` and `?` never match a slash.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(c, path)| *c != b'/' && matches(pattern, path))
        }
        ([b'?', pattern @ ..], [c, path @ ..]) if *c != b'/' => matches(pattern, path),
        ([p, pattern @ ..], [c, path @ ..]) => p == c && matches(pattern, path),
        _ => false,
    }
}

/// Go's duration notation in milliseconds: `10s`, `1m30s`, `1.5s`, `500ms`.
fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        // In nanoseconds, so that a fraction of a second stays whole.
        let factor: u64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(whole.checked_mul(factor)?)?;
        let mut place = factor;
        for digit in fraction.bytes().take(18) {
            place /= 10;
            total = total.checked_add(place.checked_mul(u64::from(digit.checked_sub(b'0')?))?)?;
        }
        rest = tail;
    }
    (!text.is_empty()).then_some(total / 1_000_000)
}

#[cfg(test)]
mod tests;
