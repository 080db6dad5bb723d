//! Extended attributes of files that others wrote: kept with the copy of the file, and set again
//! when the file is given back.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FileError, Root};

/// The label of `SELinux`.
const LABEL: &str = "security.selinux";
/// Attributes that are kept besides `user.*`. The others are either nobody's to set but the
/// kernel's, or need privileges that the agent does not ask for.
const KEPT: [&str; 3] = [LABEL, "security.capability", "system.posix_acl_access"];
/// The most attributes of one file that are kept.
pub(super) const MAX_NAMES: usize = 32;
/// The most bytes of names and values that are kept of one file.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The extended attributes of a file, by name. In JSON the values are hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Xattrs(BTreeMap<String, Vec<u8>>);

impl Xattrs {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same with a label of `SELinux`, unless there is one already.
    #[must_use]
    pub fn labelled(mut self, label: Option<Vec<u8>>) -> Self {
        if let Some(label) = label {
            self.0.entry(LABEL.to_owned()).or_insert(label);
        }
        self
    }

    /// The label of `SELinux`; nothing where it is off.
    #[must_use]
    pub fn label(&self) -> Option<Vec<u8>> {
        self.0.get(LABEL).cloned()
    }
}

impl Serialize for Xattrs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(name, value)| (name, hex::encode(value))),
        )
    }
}

impl<'de> Deserialize<'de> for Xattrs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let value = |(name, text): (String, String)| {
            let value = hex::decode(text).map_err(serde::de::Error::custom)?;
            Ok((name, value))
        };
        texts
            .into_iter()
            .map(value)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Why attributes are not read or set.
enum Failed {
    /// More than is kept, or a name that is no text.
    TooMany,
    Io(Errno),
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::Io(errno)
    }
}

impl Root {
    /// The attributes of an open file or folder that are kept.
    pub(super) fn xattrs(&self, path: &str, file: impl AsFd) -> Result<Xattrs, FileError> {
        read(file).map_err(|failed| match failed {
            Failed::TooMany => FileError::Attributes {
                path: self.show(path),
            },
            Failed::Io(errno) => self.io("read the extended attributes of", path, errno),
        })
    }

    /// Sets what is not as it should be. What is there besides stays: a new file has nothing but
    /// what the system gives it.
    pub(super) fn set_xattrs(
        &self,
        path: &str,
        file: impl AsFd,
        wanted: &Xattrs,
    ) -> Result<(), FileError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let there = self.xattrs(path, &file)?;
        for (name, value) in &wanted.0 {
            if there.0.get(name) == Some(value) {
                continue;
            }
            fsetxattr(&file, name.as_str(), value, XattrFlags::empty())
                .map_err(|errno| self.io("set the extended attributes of", path, errno))?;
        }
        Ok(())
    }

    /// The label of `SELinux` that a folder has, or the nearest one above it that exists; nothing
    /// where `SELinux` is off.
    pub fn folder_label(&self, path: &str) -> Result<Option<Vec<u8>>, FileError> {
        let (here, folder) = self.nearest_dir(path)?;
        Ok(self.xattrs(here, folder)?.label())
    }

    /// Gives a folder of ours a label of `SELinux`.
    pub fn label_folder(&self, path: &str, label: Option<Vec<u8>>) -> Result<(), FileError> {
        let Some(folder) = self.existing_dir(path)? else {
            return Ok(());
        };
        self.set_xattrs(path, folder, &Xattrs::default().labelled(label))
    }
}

fn read(file: impl AsFd) -> Result<Xattrs, Failed> {
    // What the kernel takes for a list or a value at most.
    let mut buffer = vec![0_u8; MAX_BYTES];
    let length = match flistxattr(&file, buffer.as_mut_slice()) {
        Ok(length) => length,
        // The file system has none.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Xattrs::default()),
        Err(Errno::RANGE | Errno::TOOBIG) => return Err(Failed::TooMany),
        Err(errno) => return Err(errno.into()),
    };
    let mut names = Vec::new();
    for name in buffer[..length].split(|byte| *byte == 0) {
        let is_user = name.starts_with(b"user.");
        if is_user || KEPT.iter().any(|kept| kept.as_bytes() == name) {
            let name = std::str::from_utf8(name).map_err(|_| Failed::TooMany)?;
            names.push(name.to_owned());
        }
    }
    if names.len() > MAX_NAMES {
        return Err(Failed::TooMany);
    }
    let mut xattrs = BTreeMap::new();
    let mut bytes = 0;
    for name in names {
        let length = match fgetxattr(&file, name.as_str(), buffer.as_mut_slice()) {
            Ok(length) => length,
            // Taken away meanwhile, or a list that the file system makes up.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(Errno::RANGE | Errno::TOOBIG) => return Err(Failed::TooMany),
            Err(errno) => return Err(errno.into()),
        };
        bytes += name.len() + length;
        if bytes > MAX_BYTES {
            return Err(Failed::TooMany);
        }
        xattrs.insert(name, buffer[..length].to_vec());
    }
    Ok(Xattrs(xattrs))
}

#[cfg(test)]
mod tests {
    use super::super::{Attributes, Root};
    use super::*;

    /// On a file system that has extended attributes: without them nothing is shown here.
    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("f"), "x").unwrap();
        set(&dir, "f", "user.nodeseal-test", b"1");
        (dir, root)
    }

    fn set(dir: &tempfile::TempDir, path: &str, name: &str, value: &[u8]) {
        let path = dir.path().join(path);
        rustix::fs::setxattr(&path, name, value, XattrFlags::empty())
            .unwrap_or_else(|errno| panic!("{} has no {name}: {errno}", path.display()));
    }

    fn of(root: &Root, path: &str) -> Xattrs {
        root.seen(path, 10).unwrap().unwrap().xattrs
    }

    #[test]
    fn attributes_are_read_and_set_again_and_survive_json() {
        let (dir, root) = root();
        set(
            &dir,
            "f",
            "security.selinux",
            b"system_u:object_r:etc_t:s0\0",
        );
        set(&dir, "f", "security.capability", &CAPABILITY);
        // The kernel's own business.
        set(&dir, "f", "trusted.nodeseal-test", b"1");
        let there = of(&root, "f");
        assert_eq!(there.0.len(), 3, "{there:?}");
        assert_eq!(there.label().unwrap(), b"system_u:object_r:etc_t:s0\0");
        let json = serde_json::to_vec(&there).unwrap();
        let read: Xattrs = serde_json::from_slice(&json).unwrap();
        assert_eq!(read, there);
        // Also with another owner: a change of owner takes capabilities away.
        let attributes = Attributes {
            mode: 0o640,
            owner: Some((7, 8)),
            xattrs: read,
        };
        root.replace("g", b"x", &attributes).unwrap();
        let seen = root.seen("g", 10).unwrap().unwrap();
        assert_eq!((seen.uid, seen.gid, seen.xattrs), (7, 8, there));
    }

    /// `cap_net_admin` in format 2.
    const CAPABILITY: [u8; 20] = [
        1, 0, 0, 2, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn more_attributes_than_are_kept_are_an_error_that_says_so() {
        let (dir, root) = root();
        for n in 1..MAX_NAMES {
            set(&dir, "f", &format!("user.{n}"), b"");
        }
        assert_eq!(of(&root, "f").0.len(), MAX_NAMES);
        set(&dir, "f", "user.one-more", b"");
        let error = root.seen("f", 10).unwrap_err();
        assert!(error.is_foreign());
        let text = error.to_string();
        assert!(text.contains("more extended attributes than"), "{text}");
    }

    #[test]
    fn damaged_values_are_no_attributes() {
        assert!(serde_json::from_str::<Xattrs>("{\"user.a\":\"0\"}").is_err());
        assert!(serde_json::from_str::<Xattrs>("{\"user.a\":\"zz\"}").is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_has_the_label_of_the_one_above() {
        let (dir, root) = root();
        std::fs::create_dir(dir.path().join("opt")).unwrap();
        assert_eq!(root.folder_label("opt/x/y").unwrap(), None);
        set(&dir, "opt", "security.selinux", b"usr_t\0");
        assert_eq!(root.folder_label("opt/x/y").unwrap().unwrap(), b"usr_t\0");
        root.create_dirs("opt/x", 0o755).unwrap();
        root.label_folder("opt/x", Some(b"bin_t\0".to_vec()))
            .unwrap();
        assert_eq!(root.folder_label("opt/x/y").unwrap().unwrap(), b"bin_t\0");
    }
}
