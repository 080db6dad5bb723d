//! Strict PEM: every block parses, and nothing but comments stands between them.
//!
//! The usual readers skip whatever they don't understand, so that a damaged second key of a
//! rotation would vanish without a word.

/// Why a text is not a list of PEM blocks. No variant carries any of the text, which may be a
/// private key put in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No block at all.
    #[error("no PEM block: it starts with `-----BEGIN PUBLIC KEY-----` on a line of its own")]
    Empty,
    /// A line between blocks that is neither blank nor a `#` comment.
    #[error("line {line} stands outside of a PEM block: begin it with `#` or remove it")]
    Stray {
        /// Counted from 1.
        line: usize,
    },
    /// A block that does not end, or whose base64 does not decode.
    #[error("the PEM block that begins on line {line} is damaged: paste it again, whole")]
    Damaged {
        /// Counted from 1.
        line: usize,
    },
}

/// One decoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The words after `BEGIN`, such as `PUBLIC KEY`.
    pub label: String,
    /// The decoded bytes, usually DER.
    pub contents: Vec<u8>,
    /// The line that the block begins on, counted from 1.
    pub line: usize,
}

/// Reads all blocks of `text`.
pub fn parse(text: &str) -> Result<Vec<Block>, PemError> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let trimmed = line.trim();
        match &mut open {
            Some((start, body)) => {
                if trimmed.starts_with("-----BEGIN ") {
                    return Err(PemError::Damaged { line: *start });
                }
                body.push_str(trimmed);
                body.push('\n');
                if trimmed.starts_with("-----END ") {
                    blocks.push(decode(*start, body)?);
                    open = None;
                }
            }
            None if trimmed.starts_with("-----BEGIN ") => {
                open = Some((number, format!("{trimmed}\n")));
            }
            None if trimmed.is_empty() || trimmed.starts_with('#') => {}
            None => return Err(PemError::Stray { line: number }),
        }
    }
    match open {
        Some((line, _)) => Err(PemError::Damaged { line }),
        None if blocks.is_empty() => Err(PemError::Empty),
        None => Ok(blocks),
    }
}

fn decode(line: usize, body: &str) -> Result<Block, PemError> {
    let block = ::pem::parse(body).map_err(|_| PemError::Damaged { line })?;
    Ok(Block {
        label: block.tag().to_owned(),
        contents: block.into_contents(),
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "-----BEGIN THING-----\nAAEC\n-----END THING-----\n";

    #[test]
    fn several_blocks_with_comments_between_them_are_read() {
        let blocks = parse(&format!("# old\n{BLOCK}\n# new\n{BLOCK}")).unwrap();
        assert_eq!(blocks.iter().map(|b| b.line).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(
            (blocks[0].label.as_str(), &blocks[0].contents[..]),
            ("THING", &[0, 1, 2][..])
        );
    }

    #[test]
    fn nothing_damaged_or_stray_is_skipped() {
        assert_eq!(parse("\n# only a comment\n"), Err(PemError::Empty));
        assert_eq!(
            parse(&format!("hello\n{BLOCK}")),
            Err(PemError::Stray { line: 1 })
        );
        assert_eq!(
            parse(&format!("{BLOCK}rest")),
            Err(PemError::Stray { line: 4 })
        );
        assert_eq!(
            parse("-----BEGIN THING-----\nAAEC\n"),
            Err(PemError::Damaged { line: 1 })
        );
        let garbage = "-----BEGIN THING-----\n!!!\n-----END THING-----\n";
        assert_eq!(
            parse(&format!("{BLOCK}{garbage}")),
            Err(PemError::Damaged { line: 4 })
        );
        let nested =
            "-----BEGIN THING-----\nAAEC\n-----BEGIN THING-----\nAAEC\n-----END THING-----";
        assert_eq!(parse(nested), Err(PemError::Damaged { line: 1 }));
    }
}
