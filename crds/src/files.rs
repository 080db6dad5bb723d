//! Reads manifests from files, folders and standard input: the only IO of this crate.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::load::Source;
use crate::manifest::{self, MAX_FILE};
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
/// `.json` with all folders in it, without hidden ones; `-` is standard input. In a folder links are
/// followed, as ConfigMap volumes are made of them, but never out of it: whoever may write there
/// would read any file of the host. Devices and pipes are never opened.
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
    /// How many manifests and known folders were met, read or not.
    met: usize,
    seen: BTreeSet<PathBuf>,
}

impl Reader {
    fn stdin(&mut self) {
        if self.read.sources.iter().any(|source| source.name == STDIN) {
            return;
        }
        match read_bounded(io::stdin().lock()) {
            Ok(bytes) => self.add_given(Path::new(STDIN), bytes),
            Err(error) => self.fail(Path::new(STDIN), "Unreadable", &error.to_string()),
        }
    }

    fn path(&mut self, path: &Path) {
        let found = fs::metadata(path).and_then(|metadata| Ok((metadata, path.canonicalize()?)));
        match found {
            Ok((metadata, real)) if metadata.is_dir() => {
                let before = (self.met, self.read.problems.len());
                self.folder(path, &real, &real, 0);
                if before == (self.met, self.read.problems.len()) {
                    let message =
                        "no .yaml, .yml or .json file is in this folder: is it the right one?";
                    self.problem(path, Severity::Warning, "NoFiles", message);
                }
            }
            Ok((metadata, real)) if metadata.is_file() => {
                if let Some(bytes) = self.file(path, real) {
                    self.add_given(path, bytes);
                }
            }
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

    /// `real` is the folder without links, `root` the given one that it lies in.
    fn folder(&mut self, folder: &Path, real: &Path, root: &Path, depth: usize) {
        // A link may lead back up.
        if !self.seen.insert(real.to_owned()) {
            self.met += 1;
            return;
        }
        if depth > MAX_DEPTH {
            return self.fail(folder, "TooLarge", "too many folders inside each other");
        }
        let entries = fs::read_dir(real).and_then(|entries| {
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
            if !name.as_encoded_bytes().starts_with(b".") {
                self.entry(&folder.join(&name), &real.join(&name), root, depth);
            }
        }
    }

    /// `place` is the path without links in front of its name.
    fn entry(&mut self, path: &Path, place: &Path, root: &Path, depth: usize) {
        let manifest = path.extension().is_some_and(|extension| {
            ["yaml", "yml", "json"]
                .iter()
                .any(|known| extension == *known)
        });
        // What it is cannot be told: it may have been a folder of policies, whatever its name.
        let found = place
            .canonicalize()
            .and_then(|real| Ok((fs::symlink_metadata(&real)?, real)));
        let (metadata, real) = match found {
            Ok(found) => found,
            Err(error) => return self.fail(path, "Unreadable", &cannot_read(&error)),
        };
        let inside = real.starts_with(root);
        if metadata.is_dir() && inside {
            self.folder(path, &real, root, depth + 1);
        } else if metadata.is_file() && manifest && inside {
            if let Some(bytes) = self.file(path, real) {
                self.add(path, bytes);
            }
        } else if metadata.is_dir() || manifest && !inside {
            let message = "a link that leads out of the folder is not followed: put the file itself here, or name it with its own path";
            self.fail(path, "OutsideFolder", message);
        } else if manifest {
            self.fail(path, "Unreadable", "no regular file: remove it");
        }
    }

    /// The content; nothing where it was read already, or cannot be, which is said.
    fn file(&mut self, path: &Path, real: PathBuf) -> Option<Vec<u8>> {
        self.met += 1;
        // `-f folder -f folder/file` names it twice.
        if self.seen.contains(&real) {
            return None;
        }
        let bytes = open(&real).and_then(read_bounded);
        self.seen.insert(real);
        bytes
            .map_err(|error| self.fail(path, "Unreadable", &cannot_read(&error)))
            .ok()
    }

    /// Takes in what was named itself, not found in a folder.
    fn add_given(&mut self, path: &Path, bytes: Vec<u8>) {
        let text = str::from_utf8(&bytes);
        if bytes.len() <= MAX_FILE && text.is_ok_and(manifest::holds_nothing) {
            let message = "there is nothing in it: is it the right one?";
            self.problem(path, Severity::Warning, "Empty", message);
        }
        self.add(path, bytes);
    }

    fn add(&mut self, path: &Path, bytes: Vec<u8>) {
        if bytes.len() > MAX_FILE {
            let message = format!("more than {MAX_FILE} bytes: split it");
            return self.fail(path, "TooLarge", &message);
        }
        self.bytes += bytes.len();
        if self.bytes > MAX_TOTAL || self.read.sources.len() == MAX_FILES {
            let message = format!(
                "more than {MAX_FILES} files or {MAX_TOTAL} bytes in all: read fewer at once"
            );
            return self.fail(path, "TooLarge", &message);
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.read.sources.push(Source {
                name: path.display().to_string(),
                text,
            }),
            // The file could be read, and what is in it is at fault.
            Err(_) => self.problem_in(
                Layer::Yaml,
                path,
                Severity::Error,
                "InvalidYaml",
                "no UTF-8 text: save it as UTF-8",
            ),
        }
    }

    fn fail(&mut self, path: &Path, reason: &str, message: &str) {
        self.problem(path, Severity::Error, reason, message);
    }

    fn problem(&mut self, path: &Path, severity: Severity, reason: &str, message: &str) {
        self.problem_in(Layer::File, path, severity, reason, message);
    }

    fn problem_in(
        &mut self,
        layer: Layer,
        path: &Path,
        severity: Severity,
        reason: &str,
        message: &str,
    ) {
        self.read.problems.push(Problem {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            object: String::new(),
            field: String::new(),
            layer,
            severity,
            reason: reason.to_owned(),
            message: message.to_owned(),
        });
    }
}

fn cannot_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Opens a regular file and nothing else, whatever stands at the path by now: opening a pipe would
/// wait for a writer, reading some files of `/proc` for the kernel.
fn open(real: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(real)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no regular file any more"))
    }
}

fn read_bounded(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
