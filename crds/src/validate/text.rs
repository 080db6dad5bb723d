//! Words of messages: safe quotes and suggestions.

pub(crate) use policy::text::may_be_shown;

/// A value as it may stand in a message: short texts in quotes, never what may be key material.
pub(crate) fn quoted(text: &str) -> String {
    if may_be_shown(text) {
        format!("`{text}`")
    } else {
        format!("a text of {} characters", text.chars().count())
    }
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

/// `a`, `b` and 2 more: no more than `most` of texts that may be anything.
pub(crate) fn some_of(texts: &[String], most: usize) -> String {
    let (first, more) = texts.split_at(texts.len().min(most));
    let first: Vec<String> = first.iter().map(|text| quoted(text)).collect();
    match (first.split_last(), more.len()) {
        (None, _) => "none".to_owned(),
        (Some((last, [])), 0) => last.clone(),
        (Some((last, first)), 0) => format!("{} and {last}", first.join(", ")),
        (Some(_), more) => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_material_is_never_quoted() {
        for shown in [
            "Enforce",
            &format!("a.example/{}", "y".repeat(40)),
            &format!("a.example/{}", "b".repeat(31)),
            &format!("{}.{}", "b".repeat(31), "c".repeat(31)),
            &format!("a.example/app@sha256:{}", "b".repeat(64)),
            &format!("{}@sha256:{}", "x".repeat(100), "b".repeat(64)),
        ] {
            assert_eq!(quoted(shown), format!("`{shown}`"));
        }
        for secret in [
            "-----BEGIN PRIVATE KEY-----",
            "MII\nB",
            &"M".repeat(64),
            &"m".repeat(101),
            &format!("key={}", "Mx".repeat(20)),
            &"M-x_".repeat(10),
            &"0a".repeat(16),
            &"0A".repeat(16),
            &format!("key-{}", "0a".repeat(16)),
            &format!("a.example/{}", "b".repeat(32)),
            &format!("a.example@sha256:{}", "b".repeat(66)),
            &format!("{}@sha256:{}", "b".repeat(64), "b".repeat(64)),
            &format!("x@sha256:{}", "Mx".repeat(32)),
        ] {
            assert!(quoted(secret).starts_with("a text of "), "{secret}");
        }
    }

    #[test]
    fn of_many_texts_some_are_told() {
        let texts = |count: usize| (0..count).map(|i| format!("k{i}")).collect::<Vec<_>>();
        assert_eq!(some_of(&texts(0), 2), "none");
        assert_eq!(some_of(&texts(1), 2), "`k0`");
        assert_eq!(some_of(&texts(2), 2), "`k0` and `k1`");
        assert_eq!(some_of(&texts(5), 2), "`k0`, `k1` and 3 more");
        let secret = ["M".repeat(64), "a".to_owned()];
        assert_eq!(some_of(&secret, 2), "a text of 64 characters and `a`");
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
