//! A text that has to be matched as a whole: exactly, or by a regular expression.
//!
//! The syntax is that of RE2: `\w`, `\d` and `\s` mean ASCII. That also keeps the compiled form small.

use std::sync::{Arc, OnceLock};

use regex::bytes::{Regex, RegexBuilder};

/// The most bytes that a compiled expression may take; it is compiled at every pull that its policy
/// covers.
const MAX_COMPILED: usize = 64 * 1024;

/// Subjects at a host that is nobody's (RFC 6761), in the forms that certificates carry: an
/// expression that matches one of them names no host, and one that matches all of them nobody.
pub const SUBJECTS: [&str; 7] = [
    "a@nodeseal.invalid",
    "https://nodeseal.invalid/a/b",
    "https://nodeseal.invalid/a/b@refs/heads/c",
    "https://nodeseal.invalid/a/b/.github/workflows/release.yml@refs/heads/main",
    "https://nodeseal.invalid/a/b/.github/workflows/release.yaml@refs/tags/v1.2.3",
    "https://nodeseal.invalid/a/b//.gitlab-ci.yml@refs/heads/main",
    "spiffe://nodeseal.invalid/ns/a/sa/b",
];

/// Identity providers at such a host.
pub const ISSUERS: [&str; 3] = [
    "https://nodeseal.invalid",
    "https://nodeseal.invalid/a",
    "https://nodeseal.invalid/realms/a",
];

/// A text, or an expression for it.
#[derive(Debug, Clone)]
pub struct Pattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Exact(String),
    // As written; and with anchors and compiled, from the first time that it is needed: of
    // thousands of policies a pull needs a few.
    RegExp(String, Arc<OnceLock<Option<Regex>>>),
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
        "it matches everything, so anybody could sign: write what the whole text has to be, such as `https://github\\.com/acme/.*`"
    )]
    MatchesEverything,
}

impl Pattern {
    /// Exactly this text.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self(Kind::Exact(text.to_owned()))
    }

    /// A regular expression for the whole text. It must parse on its own, and is anchored then. It
    /// must not match everything that there may be, which `everything` has samples of
    /// ([`SUBJECTS`], [`ISSUERS`]).
    pub fn reg_exp(text: &str, everything: &[&str]) -> Result<Self, PatternError> {
        compile(text)?;
        let anchored = anchored(text)?;
        if everything
            .iter()
            .all(|sample| anchored.is_match(sample.as_bytes()))
        {
            return Err(PatternError::MatchesEverything);
        }
        Ok(Self(Kind::RegExp(text.to_owned(), Arc::default())))
    }

    /// Whether the whole of `text` is what the pattern says.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(exact) => exact == text,
            Kind::RegExp(expression, compiled) => compiled
                .get_or_init(|| anchored(expression).ok())
                .as_ref()
                .is_some_and(|anchored| anchored.is_match(text.as_bytes())),
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

    /// Whether no text fits both, letter case aside. Of two expressions that is not known.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Exact(one), Kind::Exact(two)) => !one.eq_ignore_ascii_case(two),
            (Kind::Exact(text), Kind::RegExp(expression, _))
            | (Kind::RegExp(expression, _), Kind::Exact(text)) => {
                let any_case = anchored(&format!("(?i:{expression})"));
                any_case.is_ok_and(|any_case| !any_case.is_match(text.as_bytes()))
            }
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

fn anchored(text: &str) -> Result<Regex, PatternError> {
    compile(&format!(r"\A(?:{text})\z"))
}

fn compile(text: &str) -> Result<Regex, PatternError> {
    let compiled = RegexBuilder::new(text)
        .unicode(false)
        .size_limit(MAX_COMPILED)
        .build();
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
        Pattern::reg_exp(text, &SUBJECTS).unwrap_err()
    }

    #[test]
    fn an_expression_matches_the_whole_text_only() {
        let pattern = Pattern::reg_exp("https://github\\.com/acme/.*|b", &SUBJECTS).unwrap();
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
        let pattern = Pattern::reg_exp("(?x)a # comment", &SUBJECTS).map(|p| p.matches("a"));
        assert!(matches!(pattern, Ok(true) | Err(PatternError::Syntax(_))));
    }

    #[test]
    fn multi_line_mode_does_not_undo_the_anchors() {
        let pattern = Pattern::reg_exp("(?m)^good$", &SUBJECTS).unwrap();
        assert!(pattern.matches("good"));
        assert!(!pattern.matches("good\nevil"));
        assert!(!pattern.matches("evil\ngood"));
    }

    #[test]
    fn an_expression_that_matches_everything_is_refused() {
        for text in [
            ".{2,}", "[!-~]+", ".*", ".+", "(?s).*", "a|.*", "[^\\n]+", "(.*)", "^.*$",
        ] {
            assert_eq!(error(text), PatternError::MatchesEverything, "{text}");
        }
    }

    #[test]
    fn an_expression_that_is_too_large_is_refused() {
        assert_eq!(error("(\\w{100}){100}"), PatternError::TooLarge);
        assert!(Pattern::reg_exp("\\w{100}", &SUBJECTS).is_ok());
    }

    #[test]
    fn every_issuer_is_everything_where_an_issuer_is_wanted() {
        let every = Pattern::reg_exp("https://.*", &ISSUERS);
        assert_eq!(every, Err(PatternError::MatchesEverything));
        assert!(Pattern::reg_exp("https://.*", &SUBJECTS).is_ok());
        assert!(Pattern::reg_exp("https://.*\\.corp\\.example", &ISSUERS).is_ok());
    }

    #[test]
    fn classes_are_those_of_ascii_and_other_letters_may_be_written_out() {
        let word = Pattern::reg_exp("\\w+", &SUBJECTS).unwrap();
        assert!(word.matches("abc") && !word.matches("\u{e9}"));
        let letter = Pattern::reg_exp("caf\u{e9}.*", &SUBJECTS).unwrap();
        assert!(letter.matches("caf\u{e9} \u{4e2d}") && !letter.matches("cafe"));
    }

    #[test]
    fn patterns_exclude_each_other_only_where_that_is_certain() {
        let (a, b) = (Pattern::exact("a"), Pattern::exact("b"));
        let (starts_a, ends_a) = (
            Pattern::reg_exp("a.*", &SUBJECTS).unwrap(),
            Pattern::reg_exp(".*a", &SUBJECTS).unwrap(),
        );
        assert!(a.excludes(&b) && b.excludes(&starts_a) && starts_a.excludes(&b));
        let upper = Pattern::exact("A");
        assert!(!a.excludes(&upper) && !upper.excludes(&starts_a));
        assert!(!a.excludes(&a) && !a.excludes(&starts_a) && !starts_a.excludes(&ends_a));
    }
}
