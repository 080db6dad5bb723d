//! A text that has to be matched as a whole: exactly, or by a regular expression.

use regex::{Regex, RegexBuilder};

/// The most bytes that a compiled expression may take; it runs at every pull.
const MAX_COMPILED: usize = 256 * 1024;

/// Texts that have nothing in common but being texts. An expression that matches all of them tells
/// nobody apart, whatever it looks like (`.*`, `.+`, `[^\n]*`, `a|.*`).
const ANYTHING: [&str; 4] = [
    "a",
    "https://nodeseal-a.invalid/b/c@refs/heads/d",
    "nodeseal+e@f.invalid",
    "\u{e9}\u{4e2d} ~|^&\\{}",
];

/// A text, or an expression for it.
#[derive(Debug, Clone)]
pub struct Pattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Exact(String),
    // The expression as written, and with anchors and compiled.
    RegExp(String, Regex),
}

/// Why an expression may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a regular expression by itself: `a)|(?:b` must not get out of the anchors.
    #[error("it is no regular expression (RE2 syntax): {0}")]
    Syntax(String),
    /// Too large once compiled.
    #[error("it is too large once compiled: use fewer or smaller repetitions")]
    TooLarge,
    /// It tells nobody apart.
    #[error(
        "it matches every text, so anybody could sign: write what the whole text has to be, such as `https://github\\.com/acme/.*`"
    )]
    MatchesEverything,
}

impl Pattern {
    /// Exactly this text.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self(Kind::Exact(text.to_owned()))
    }

    /// A regular expression for the whole text. It must parse on its own, and is anchored then.
    pub fn reg_exp(text: &str) -> Result<Self, PatternError> {
        compile(text)?;
        let anchored = compile(&format!(r"\A(?:{text})\z"))?;
        if ANYTHING.iter().all(|probe| anchored.is_match(probe)) {
            return Err(PatternError::MatchesEverything);
        }
        Ok(Self(Kind::RegExp(text.to_owned(), anchored)))
    }

    /// Whether the whole of `text` is what the pattern says.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(exact) => exact == text,
            Kind::RegExp(_, anchored) => anchored.is_match(text),
        }
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.0 {
            Kind::Exact(text) | Kind::RegExp(text, _) => text,
        }
    }

    /// Whether it is one text only.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.0, Kind::Exact(_))
    }

    /// Whether no text fits both. Of two expressions that is not known.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Exact(text), _) => !other.matches(text),
            (_, Kind::Exact(text)) => !self.matches(text),
            (Kind::RegExp(..), Kind::RegExp(..)) => false,
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.is_exact() == other.is_exact() && self.text() == other.text()
    }
}

impl Eq for Pattern {}

fn compile(text: &str) -> Result<Regex, PatternError> {
    let compiled = RegexBuilder::new(text).size_limit(MAX_COMPILED).build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
        // The last line says what is wrong; those before it draw the expression.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            PatternError::Syntax(last.trim_start_matches("error: ").to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> PatternError {
        Pattern::reg_exp(text).unwrap_err()
    }

    #[test]
    fn an_expression_matches_the_whole_text_only() {
        let pattern = Pattern::reg_exp("https://github\\.com/acme/.*|b").unwrap();
        assert!(pattern.matches("https://github.com/acme/app"));
        assert!(pattern.matches("b"));
        assert!(!pattern.matches("x https://github.com/acme/app"));
        assert!(!pattern.matches("https://github.com/acme/app\n"));
        assert!(!pattern.matches("bb"));
    }

    #[test]
    fn an_expression_that_would_leave_its_anchors_is_refused() {
        assert!(matches!(error("foo)|(?:.*"), PatternError::Syntax(_)));
        assert!(matches!(error("("), PatternError::Syntax(_)));
        assert!(matches!(error("(?=a)"), PatternError::Syntax(_)));
        // Flags end with the group that they stand in.
        let pattern = Pattern::reg_exp("(?x)a # comment").map(|p| p.matches("a"));
        assert!(matches!(pattern, Ok(true) | Err(PatternError::Syntax(_))));
    }

    #[test]
    fn multi_line_mode_does_not_undo_the_anchors() {
        let pattern = Pattern::reg_exp("(?m)^good$").unwrap();
        assert!(pattern.matches("good"));
        assert!(!pattern.matches("good\nevil"));
        assert!(!pattern.matches("evil\ngood"));
    }

    #[test]
    fn an_expression_that_matches_everything_is_refused() {
        for text in [
            ".*", ".+", "(?s).*", "a|.*", "[^\\n]+", "(.*)", "\\PC*", "^.*$",
        ] {
            assert_eq!(error(text), PatternError::MatchesEverything, "{text}");
        }
    }

    #[test]
    fn an_expression_that_is_too_large_is_refused() {
        assert_eq!(error("(\\w{100}){100}"), PatternError::TooLarge);
    }

    #[test]
    fn patterns_exclude_each_other_only_where_that_is_certain() {
        let (a, b) = (Pattern::exact("a"), Pattern::exact("b"));
        let (starts_a, ends_a) = (
            Pattern::reg_exp("a.*").unwrap(),
            Pattern::reg_exp(".*a").unwrap(),
        );
        assert!(a.excludes(&b) && b.excludes(&starts_a) && starts_a.excludes(&b));
        assert!(!a.excludes(&a) && !a.excludes(&starts_a) && !starts_a.excludes(&ends_a));
    }
}
