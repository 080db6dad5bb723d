//! Reads manifests from files, folders and standard input: the only IO of this crate.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::load::Source;
use crate::manifest::MAX_FILE;
use crate::problem::{Layer, Problem, Severity};

/// The most files of one call.
pub const MAX_FILES: usize = 10_000;
/// The most bytes of all files of one call.
pub const MAX_TOTAL: usize = 64 * 1024 * 1024;
/// The deepest folder.
const MAX_DEPTH: usize = 32;
/// The name of standard input in problems.
pub const STDIN: &str = "<stdin>";

/// What was read, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// The files, in the order of the paths, a folder's sorted by name.
    pub sources: Vec<Source>,
    /// What could not be read. A folder without manifests is a warning.
    pub problems: Vec<Problem>,
}

/// Reads all paths. A file is read whatever its name; a folder is searched for `.yaml`, `.yml` and
/// `.json` with all folders in it, without hidden ones; `-` is standard input. Links are followed,
/// as ConfigMap volumes are made of them; devices and pipes are never opened.
#[must_use]
pub fn read(paths: &[PathBuf]) -> Read {
    let mut reader = Reader::default();
    for path in paths {
        if path.as_os_str() == "-" {
            reader.stdin();
        } else {
            reader.path(path);
        }
    }
    reader.read
}

#[derive(Default)]
struct Reader {
    read: Read,
    bytes: usize,
    seen: BTreeSet<PathBuf>,
}

impl Reader {
    fn stdin(&mut self) {
        if self.read.sources.iter().any(|source| source.name == STDIN) {
            return;
        }
        match read_bounded(io::stdin().lock()) {
            Ok(bytes) => self.add(STDIN.to_owned(), bytes),
            Err(error) => self.fail(Path::new(STDIN), "Unreadable", &error.to_string()),
        }
    }

    fn path(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = (self.read.sources.len(), self.read.problems.len());
                self.folder(path, 0);
                if before == (self.read.sources.len(), self.read.problems.len()) {
                    let message =
                        "no .yaml, .yml or .json file is in this folder: is it the right one?";
                    self.problem(path, Severity::Warning, "NoFiles", message);
                }
            }
            Ok(metadata) if metadata.is_file() => self.file(path),
            Ok(_) => {
                let message = "neither a file nor a folder: write `-` to read from a pipe";
                self.fail(path, "Unreadable", message);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.fail(path, "NotFound", "no such file or folder: correct the path");
            }
            Err(error) => self.fail(path, "Unreadable", &cannot_read(&error)),
        }
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        // A link may lead back up.
        let known = fs::canonicalize(folder).is_ok_and(|real| !self.seen.insert(real));
        if known {
            return;
        }
        if depth > MAX_DEPTH {
            return self.fail(folder, "TooLarge", "too many folders inside each other");
        }
        let entries = fs::read_dir(folder).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut names = match entries {
            Ok(names) => names,
            Err(error) => return self.fail(folder, "Unreadable", &cannot_read(&error)),
        };
        names.sort();
        for name in names {
            let path = folder.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let manifest = path.extension().is_some_and(|extension| {
                ["yaml", "yml", "json"]
                    .iter()
                    .any(|known| extension == *known)
            });
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path, depth + 1),
                Ok(metadata) if metadata.is_file() && manifest => self.file(&path),
                Err(error) if manifest => self.fail(&path, "Unreadable", &cannot_read(&error)),
                _ => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        // `-f folder -f folder/file` names it twice.
        if fs::canonicalize(path).is_ok_and(|real| !self.seen.insert(real)) {
            return;
        }
        let bytes = File::open(path).and_then(|file| {
            if file.metadata()?.is_file() {
                read_bounded(file)
            } else {
                Err(io::Error::other("it is no regular file any more"))
            }
        });
        match bytes {
            Ok(bytes) => self.add(path.display().to_string(), bytes),
            Err(error) => self.fail(path, "Unreadable", &cannot_read(&error)),
        }
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) {
        let path = PathBuf::from(&name);
        if bytes.len() > MAX_FILE {
            let message = format!("more than {MAX_FILE} bytes: split it");
            return self.fail(&path, "TooLarge", &message);
        }
        self.bytes += bytes.len();
        if self.bytes > MAX_TOTAL || self.read.sources.len() == MAX_FILES {
            let message = format!(
                "more than {MAX_FILES} files or {MAX_TOTAL} bytes in all: read fewer at once"
            );
            return self.fail(&path, "TooLarge", &message);
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.read.sources.push(Source { name, text }),
            Err(_) => self.fail(&path, "Unreadable", "no UTF-8 text: save it as UTF-8"),
        }
    }

    fn fail(&mut self, path: &Path, reason: &str, message: &str) {
        self.problem(path, Severity::Error, reason, message);
    }

    fn problem(&mut self, path: &Path, severity: Severity, reason: &str, message: &str) {
        self.read.problems.push(Problem {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            object: String::new(),
            field: String::new(),
            layer: Layer::File,
            severity,
            reason: reason.to_owned(),
            message: message.to_owned(),
        });
    }
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

fn read_bounded(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
