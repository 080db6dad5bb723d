//! Texts that people write into policies, and that stand in messages later.

/// The most bytes of a DNS label.
pub const MAX_LABEL: usize = 63;

/// Whether a text is what it looks like: without control characters, and without the invisible
/// characters that turn or split what a terminal shows (Unicode's `Bidi_Control`, separators of lines,
/// zero-width characters).
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || is_invisible(c))
}

/// Whether a text is a DNS label (RFC 1123): 1 to 63 lower-case letters, digits and inner dashes.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_or_hide_is_not_plain() {
        for text in [
            "a\u{1b}[2J",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}b",
            "\u{feff}a",
            "a\u{2028}b",
        ] {
            assert!(!is_plain(text), "{text:?}");
        }
        for text in ["", "build@corp.example", "caf\u{e9}", "\u{4e2d}"] {
            assert!(is_plain(text), "{text:?}");
        }
    }
}
