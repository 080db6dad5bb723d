//! Takes a YAML stream apart at its document markers.

/// One document of a stream, not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// The text from its first line on.
    pub(super) text: &'a str,
    /// The number of that line in the file, counted from 1.
    pub(super) first_line: u64,
}

/// The documents of `text`. A line that begins with `---` starts one: inside a document YAML
/// allows no such line, so a syntax error in one document cannot reach into the next.
pub(super) fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut first_line, mut has_content) = (0, 1, false);
    let mut offset = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if is_marker(line) && has_content {
            chunks.push(Chunk {
                text: &text[start..offset],
                first_line,
            });
            (start, first_line, has_content) = (offset, number, false);
        }
        has_content |= is_content(line) || is_marker(line);
        offset += line.len();
    }
    if has_content {
        chunks.push(Chunk {
            text: &text[start..],
            first_line,
        });
    }
    chunks
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Not blank, no comment and no directive: those belong to the document that follows.
fn is_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(u64, &str)> {
        split(text)
            .iter()
            .map(|chunk| (chunk.first_line, chunk.text))
            .collect()
    }

    #[test]
    fn every_marker_begins_a_document() {
        assert_eq!(
            lines("a: 1\n---\nb: 2\n"),
            [(1, "a: 1\n"), (2, "---\nb: 2\n")]
        );
        assert_eq!(
            lines("---\na: 1\n--- # next\nb: 2"),
            [(1, "---\na: 1\n"), (3, "--- # next\nb: 2")]
        );
        assert_eq!(lines("# only a comment\n\n"), []);
        assert_eq!(lines(""), []);
    }

    #[test]
    fn directives_and_comments_stay_with_their_document() {
        assert_eq!(
            lines("# c\n%YAML 1.2\n---\na: 1\n"),
            [(1, "# c\n%YAML 1.2\n---\na: 1\n")]
        );
    }

    #[test]
    fn dashes_in_a_block_scalar_or_a_longer_run_are_no_marker() {
        let text = "a: |\n  ---\n  -----BEGIN X-----\nb: ---x\n";
        assert_eq!(lines(text), [(1, text)]);
        let text = "----\n";
        assert_eq!(lines(text), [(1, text)]);
    }
}
