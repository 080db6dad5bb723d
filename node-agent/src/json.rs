//! The JSON of the agent's own records: for people too, and the same bytes for the same content.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record in JSON, ended by a line end. Keys are in the order of its fields.
pub(crate) fn lines(record: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(record)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A record of this version that may be lost: damaged, or of another version, it is none.
pub(crate) fn of_version<T: DeserializeOwned>(
    bytes: &[u8],
    version: u32,
    of: impl FnOnce(&T) -> u32,
) -> Option<T> {
    let record: T = serde_json::from_slice(bytes).ok()?;
    (of(&record) == version).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_its_last_line() {
        let bytes = lines(&serde_json::json!({ "version": 1 })).unwrap();
        assert_eq!(bytes, b"{\n  \"version\": 1\n}\n");
    }

    #[test]
    fn a_record_that_is_damaged_or_of_another_version_is_none() {
        let read = |bytes: &[u8]| of_version::<[u32; 2]>(bytes, 1, |record| record[0]);
        assert_eq!(read(b"[1, 7]\n"), Some([1, 7]));
        for bytes in [&b""[..], b"[1", b"[2, 7]", b"[1, 7] more"] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}
