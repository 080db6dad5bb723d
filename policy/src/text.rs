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

/// Whether a text is certainly no key material: it is one short line without PEM markers, and
/// without long runs of base64 (the body of an Ed25519 private key is one such line) or of hex. The
/// digest of an image is none.
#[must_use]
pub fn may_be_shown(text: &str) -> bool {
    let (text, digest) = text.rsplit_once("@sha256:").unwrap_or((text, ""));
    let is_digest = digest.is_empty() || digest.len() == 64 && digest.chars().all(is_hex);
    // Both alphabets: the one of URLs has `-` and `_`.
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    let base64 = text
        .split(|c| !is_base64(c))
        .any(|run| run.len() >= 40 && run.contains(|c: char| c.is_ascii_uppercase()));
    let hex = text.split(|c| !is_hex(c)).any(|run| run.len() >= 32);
    let plain = text.chars().all(|c| !c.is_control());
    plain && is_digest && !base64 && !hex && text.len() <= 100 && !text.contains("-----")
}

fn is_hex(c: char) -> bool {
    c.is_ascii_hexdigit()
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
