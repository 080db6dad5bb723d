//! Words of messages: safe quotes and suggestions.

/// A value as it may stand in a message: short texts in quotes, never what may be key material.
pub(crate) fn quoted(text: &str) -> String {
    if may_be_shown(text) {
        format!("`{text}`")
    } else {
        format!("a text of {} characters", text.chars().count())
    }
}

/// Whether a text is certainly no key material: it is one short line without PEM markers, and no
/// long run of base64 (the body of an Ed25519 private key is one such line).
pub(crate) fn may_be_shown(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let base64 = text.len() >= 40
        && text.chars().all(is_base64)
        && text.contains(|c: char| c.is_ascii_uppercase());
    let plain = text.chars().all(|c| !c.is_control());
    plain && !base64 && text.len() <= 100 && !text.contains("-----")
}

/// Which of `known` was probably meant.
pub(crate) fn closest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if written.len() > 63 {
        return None;
    }
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(written.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be inserted, removed or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// `a`, `b` and `c`.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_material_is_never_quoted() {
        assert_eq!(quoted("Enforce"), "`Enforce`");
        assert_eq!(quoted(&format!("a.example/{}", "b".repeat(40))).len(), 52);
        for secret in [
            "-----BEGIN PRIVATE KEY-----",
            "MII\nB",
            &"M".repeat(64),
            &"m".repeat(101),
        ] {
            assert!(quoted(secret).starts_with("a text of "), "{secret}");
        }
    }

    #[test]
    fn the_closest_word_is_suggested_only_when_it_is_close() {
        let known = [
            "scopes",
            "exclude",
            "mode",
            "threshold",
            "authorities",
            "configMapKeyRef",
        ];
        assert_eq!(closest("scope", known), Some("scopes"));
        assert_eq!(closest("treshold", known), Some("threshold"));
        assert_eq!(closest("Mode", known), Some("mode"));
        assert_eq!(closest("configmapkeyref", known), Some("configMapKeyRef"));
        assert_eq!(closest("attestations", known), None);
        assert_eq!(closest("timestamp", known), None);
        assert_eq!(closest("", known), None);
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(listed([]), "");
        assert_eq!(listed(["a"]), "`a`");
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
