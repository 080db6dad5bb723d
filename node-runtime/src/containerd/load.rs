//! All files of a configuration, in the order in which containerd merges them.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use policy::digest::Digest;
use toml_edit::Document;

use super::files::Files;
use super::glob::{GlobError, absolute, glob, is_pattern};
use super::value::{Table, Value, field, read};

/// The most files that one configuration may have.
pub const MAX_FILES: usize = 256;
/// The most bytes that all its files may have together.
pub const MAX_BYTES: usize = 4 << 20;
/// How deep imports may nest; the root file has depth 0.
pub const MAX_DEPTH: usize = 16;

/// One file of a configuration.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path, as containerd opens it.
    pub path: Arc<str>,
    /// What is in it.
    pub text: String,
    /// Its `version`; 0 where it has none.
    pub version: i64,
    /// The entries of its `imports`, as they stand there.
    pub imports: Vec<String>,
    /// When it was last written, where that is known.
    pub modified: Option<SystemTime>,
    pub(super) table: Table,
}

/// A whole configuration.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The path of the root file, also when it does not exist.
    pub root: Arc<str>,
    /// The files, in the order in which they are merged; later ones win. Empty when there is no
    /// root file: containerd then runs with its defaults, and reads no drop-in at all
    /// (`cmd/containerd/command/main.go@2.2.1`, `LoadConfig` is not even called), or does not
    /// start when its command line names that file.
    pub files: Vec<File>,
}

/// Why a configuration cannot be read. In all these cases but the bounds and [`Self::Text`]
/// containerd itself would not start with it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file or folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// An imported file does not exist.
    #[error(
        "{importer} imports {path}, which does not exist, so containerd does not start: create \
         it, or take it out of `imports`"
    )]
    Missing {
        /// The missing file.
        path: String,
        /// The file whose `imports` names it.
        importer: String,
    },
    /// A pattern in `imports` cannot be expanded.
    #[error("the entry `{entry}` in `imports` of {importer} cannot be expanded: {why}")]
    Pattern {
        /// The entry.
        entry: String,
        /// The file whose `imports` has it.
        importer: String,
        /// What is wrong.
        why: String,
    },
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
    /// A value of the wrong type at the top level.
    #[error("{path}:{line}: `{key}` is {found}, expected {expected}")]
    Type {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// What is there.
        found: &'static str,
        /// What has to be there.
        expected: &'static str,
    },
    /// More than this product reads.
    #[error("the configuration that starts at {root} has more than {limit}")]
    Bound {
        /// The root file.
        root: String,
        /// The bound.
        limit: String,
    },
}

impl Loaded {
    /// The root file, if it exists.
    #[must_use]
    pub fn root_file(&self) -> Option<&File> {
        self.files.first()
    }

    /// The newest modification of any file, where one is known. A process that started before it
    /// may run with something else.
    #[must_use]
    pub fn newest(&self) -> Option<SystemTime> {
        self.files.iter().filter_map(|file| file.modified).max()
    }

    /// Changes with the path, the text or the order of any file, and with nothing else.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for part in std::iter::once((&self.root, "")).chain(
            self.files
                .iter()
                .map(|file| (&file.path, file.text.as_str())),
        ) {
            for part in [part.0.as_bytes(), part.1.as_bytes()] {
                bytes.extend((part.len() as u64).to_be_bytes());
                bytes.extend(part);
            }
        }
        Digest::of(&bytes)
    }
}

/// Reads the root file at `path` (absolute) and all that it imports.
///
/// As `cmd/containerd/server/config/config.go@2.2.1:LoadConfig` (the same in 1.7 to 2.4): a queue,
/// so that all imports of one file come before those of the files it imports; a path that was
/// loaded before is passed over, which also ends loops; entries without a star must exist; an entry
/// is relative to the file that has it (`resolveImports`).
pub fn load(files: &(impl Files + ?Sized), path: &str) -> Result<Loaded, ConfigError> {
    let root: Arc<str> = path.into();
    let bound = |limit: String| ConfigError::Bound {
        root: path.to_owned(),
        limit,
    };
    let mut loaded = Loaded {
        root: Arc::clone(&root),
        files: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut pending = VecDeque::from([(root, None::<Arc<str>>, 0)]);
    while let Some((path, importer, depth)) = pending.pop_front() {
        if !seen.insert(Arc::clone(&path)) {
            continue;
        }
        if depth > MAX_DEPTH {
            return Err(bound(format!("{MAX_DEPTH} levels of imports")));
        }
        if loaded.files.len() >= MAX_FILES {
            return Err(bound(format!("{MAX_FILES} files")));
        }
        let text = files
            .read(&path, MAX_BYTES - bytes)
            .map_err(|source| ConfigError::Read {
                path: path.to_string(),
                source,
            })?;
        let Some(text) = text else {
            match importer {
                None => break,
                Some(importer) => {
                    return Err(ConfigError::Missing {
                        path: path.to_string(),
                        importer: importer.to_string(),
                    });
                }
            }
        };
        bytes += text.bytes.len();
        if bytes > MAX_BYTES {
            return Err(bound(format!("{MAX_BYTES} bytes")));
        }
        let file = parse(&path, text.bytes, text.modified)?;
        for entry in &file.imports {
            for import in resolve(files, entry, &path)? {
                // A bound on the queue too: it may name one file many times.
                if pending.len() > MAX_FILES {
                    return Err(bound(format!("{MAX_FILES} files")));
                }
                pending.push_back((import.into(), Some(Arc::clone(&path)), depth + 1));
            }
        }
        loaded.files.push(file);
    }
    Ok(loaded)
}

fn resolve(
    files: &(impl Files + ?Sized),
    entry: &str,
    importer: &str,
) -> Result<Vec<String>, ConfigError> {
    let path = absolute(entry, importer);
    if !is_pattern(&path) {
        return Ok(vec![path]);
    }
    glob(files, &path).map_err(|error| match error {
        GlobError::Io(source) => ConfigError::Read { path, source },
        other => ConfigError::Pattern {
            entry: entry.to_owned(),
            importer: importer.to_owned(),
            why: other.to_string(),
        },
    })
}

fn parse(
    path: &Arc<str>,
    bytes: Vec<u8>,
    modified: Option<SystemTime>,
) -> Result<File, ConfigError> {
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::Text {
        path: path.to_string(),
    })?;
    let document = Document::parse(text.as_str()).map_err(|source| ConfigError::Toml {
        path: path.to_string(),
        source,
    })?;
    let table = read(document.as_table(), path, &text);
    let wrong = |node: &super::value::Node, key, expected| ConfigError::Type {
        path: path.to_string(),
        line: node.origin.line,
        key,
        found: node.value.kind(),
        expected,
    };
    let version = match field(&table, "version") {
        None => 0,
        Some(node) => match node.value {
            Value::Integer(number) => number,
            _ => return Err(wrong(node, "version", "an integer")),
        },
    };
    let imports =
        texts(&table, "imports").map_err(|node| wrong(node, "imports", "an array of strings"))?;
    texts(&table, "disabled_plugins")
        .map_err(|node| wrong(node, "disabled_plugins", "an array of strings"))?;
    if let Some(node) = field(&table, "plugins")
        && !matches!(node.value, Value::Table(_))
    {
        return Err(wrong(node, "plugins", "a table"));
    }
    drop(document);
    Ok(File {
        path: Arc::clone(path),
        text,
        version,
        imports,
        modified,
        table,
    })
}

/// The strings of a top-level array; the node that is in the way otherwise.
fn texts<'a>(table: &'a Table, key: &str) -> Result<Vec<String>, &'a super::value::Node> {
    let Some(node) = field(table, key) else {
        return Ok(Vec::new());
    };
    let Value::Array(entries) = &node.value else {
        return Err(node);
    };
    entries
        .iter()
        .map(|entry| match &entry.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(entry),
        })
        .collect()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
