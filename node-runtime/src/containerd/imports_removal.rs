//! Takes an entry out of `imports` again, where others have changed the file since it was added.

use toml_edit::{DocumentMut, Item};

use super::imports::ImportsError;

/// The text of the root file without `pattern` in its `imports`, and without `imports` where nothing
/// is left of it; `None` when it is not there. Comments, order and formatting stay.
pub fn imports_removal(root: &str, pattern: &str) -> Result<Option<String>, ImportsError> {
    let mut document: DocumentMut = root.parse()?;
    // Without regard to case, as containerd reads it.
    let key = document
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| key.to_lowercase() == "imports")
        .max();
    let Some(key) = key else {
        return Ok(None);
    };
    let array = document
        .get_mut(&key)
        .and_then(Item::as_array_mut)
        .ok_or(ImportsError::Shape)?;
    let before = array.len();
    array.retain(|entry| entry.as_str() != Some(pattern));
    if array.len() == before {
        return Ok(None);
    }
    if array.is_empty() {
        document.remove(&key);
    }
    Ok(Some(document.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::imports::imports_edit;
    use super::*;

    const OURS: &str = "/etc/containerd/conf.d/zz-nodeseal*.toml";

    #[test]
    fn what_was_added_goes_and_everything_else_stays() {
        for text in [
            "version = 3\n# theirs\n[plugins]\n",
            "imports = ['/a.toml'] # why\nversion = 2\n",
            "imports = ['/etc/containerd/conf.d/*.toml']\nversion = 2\n",
        ] {
            let edited = imports_edit(Some(text), OURS, 3).unwrap().unwrap();
            let changed = format!("{edited}[debug]\nlevel = 'info'\n");
            let left = imports_removal(&changed, OURS).unwrap().unwrap();
            let left: DocumentMut = left.parse().unwrap();
            let expected: DocumentMut = format!("{text}[debug]\nlevel = 'info'\n").parse().unwrap();
            assert_eq!(left.as_table().len(), expected.as_table().len(), "{left}");
            assert_eq!(
                left.get("imports").map(ToString::to_string),
                expected.get("imports").map(ToString::to_string)
            );
            assert!(left.to_string().contains("level = 'info'"));
        }
    }

    #[test]
    fn what_is_not_there_is_no_change() {
        for text in ["version = 3\n", "imports = ['/a.toml']\n", ""] {
            assert_eq!(imports_removal(text, OURS).unwrap(), None);
        }
        assert!(imports_removal("imports = 7\n", OURS).is_err());
    }
}
