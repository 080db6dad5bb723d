//! Texts that people write into policies, and that stand in messages later.

/// The most bytes of a DNS label.
pub const MAX_LABEL: usize = 63;

/// Whether a text is what it looks like: without control characters, and without the invisible
/// characters that turn or split what a terminal shows (Unicode's `Bidi_Control`, separators of lines,
/// zero-width characters).
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_deceptive)
}

/// Whether a character does anything to a line but stand in it: control characters, separators of lines,
/// and those that reorder, split or hide what stands around them (Unicode's `Bidi_Control`, zero-width
/// characters and other invisible ones for formatting).
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
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

/// Whether a text is certainly no key material: it is one short [plain](is_plain) line without PEM markers, and
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
    is_plain(text) && is_digest && !base64 && !hex && text.len() <= 100 && !text.contains("-----")
}

fn is_hex(c: char) -> bool {
    c.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reorders_a_line_is_not_shown() {
        for c in [
            '\u{7}',
            '\u{1b}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
        ] {
            let text = format!("gpj.{c}exe");
            assert!(
                is_deceptive(c) && !is_plain(&text) && !may_be_shown(&text),
                "{c:?}"
            );
        }
        for text in [
            "a.example/app:v1",
            "caf\u{e9}",
            "\u{5d0}\u{5d1}",
            "\u{4e2d} \u{6587}",
        ] {
            assert!(may_be_shown(text), "{text:?}");
        }
    }

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
