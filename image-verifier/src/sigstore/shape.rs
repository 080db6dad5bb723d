//! How much a JSON text may be before the library takes it apart.
//!
//! The library keeps what it does not know of a bundle until it has read all of it, as a tree of values
//! that takes up to a hundred times the bytes of its text.

/// The most values of a bundle, and of a statement. One with as much evidence as is looked at has about 2,000.
pub(crate) const MAX_VALUES: usize = 8 * 1024;
/// How deep objects and lists may stand in each other. Those of the bundle's specification do so to a
/// depth of 6.
pub(crate) const MAX_DEPTH: usize = 32;

/// What is too much about a text; nothing if all of it is within the limits. Up to its first error a
/// text means the same to this as to a parser, which does not get beyond that.
pub(crate) fn excess(json: &[u8]) -> Option<String> {
    let (mut values, mut depth) = (1_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => (values, depth) = (values + 1, depth + 1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(format!("values more than {MAX_DEPTH} levels deep"));
        }
        if values > MAX_VALUES {
            return Some(format!("more than {MAX_VALUES} values"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_levels_are_counted_outside_of_texts() {
        let many = |count: usize| format!("[{}0]", "{},".repeat(count));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let text = format!(r#"{{"a\\":"\"{}"}}"#, ",[{".repeat(MAX_VALUES));
        for json in [many(MAX_VALUES / 2 - 1), deep(MAX_DEPTH), text] {
            assert_eq!(excess(json.as_bytes()), None);
        }
        for (json, part) in [
            (many(MAX_VALUES / 2), "8192 values"),
            (format!("[{}0]", "0,".repeat(MAX_VALUES)), "8192 values"),
            (deep(MAX_DEPTH + 1), "32 levels"),
        ] {
            let found = excess(json.as_bytes()).unwrap();
            assert!(found.contains(part), "{found}");
        }
    }
}
