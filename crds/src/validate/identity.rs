//! Warnings about regular expressions for identities: what is valid, and lets in more than its
//! author may know.

use policy::keyless::MAX_IDENTITIES;
use policy::pattern::{ISSUERS, Pattern, SUBJECTS};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, LiteralKind};

use super::report::Report;
use super::text::{may_be_shown, quoted};
use crate::problem::{Layer, Severity};
use crate::types::{KeylessIdentity, PolicySpec};

/// Claims that say whose certificate it is, whatever its subject.
const NAMING: [&str; 7] = [
    "buildConfigURI",
    "buildSignerURI",
    "sourceRepositoryIdentifier",
    "sourceRepositoryOwnerIdentifier",
    "sourceRepositoryOwnerURI",
    "sourceRepositoryURI",
    "tokenSubject",
];

/// Adds what may surprise about the identities of all authorities.
pub(crate) fn warn(report: &mut Report<'_>, spec: &PolicySpec) {
    for (index, authority) in spec.authorities.iter().enumerate() {
        let identities = authority
            .keyless
            .iter()
            .flat_map(|keyless| &keyless.identities);
        for (at, identity) in identities.take(MAX_IDENTITIES).enumerate() {
            let field = format!("spec.authorities[{index}].keyless.identities[{at}]");
            warn_identity(report, &field, identity);
        }
    }
}

fn warn_identity(report: &mut Report<'_>, field: &str, identity: &KeylessIdentity) {
    let named = identity
        .claims
        .keys()
        .any(|name| NAMING.contains(&name.as_str()));
    for (name, expression, probes, named) in [
        (
            "issuerRegExp",
            &identity.issuer_reg_exp,
            &ISSUERS[..],
            false,
        ),
        (
            "subjectRegExp",
            &identity.subject_reg_exp,
            &SUBJECTS[..],
            named,
        ),
    ] {
        let Some((text, Ok(pattern))) = expression
            .as_ref()
            .map(|text| (text, Pattern::reg_exp(text, probes)))
        else {
            continue;
        };
        let mut add = |reason: &str, message: String| {
            let field = format!("{field}.{name}");
            report.add(Layer::Program, Severity::Warning, &field, reason, message);
        };
        if let Some(message) = broad(&pattern, probes, named) {
            add("BroadRegExp", message);
        }
        if let Some(message) = unescaped(text) {
            add("UnescapedDot", message);
        }
    }
}

/// What to say about an expression that matches at any host.
fn broad(pattern: &Pattern, probes: &[&str], named: bool) -> Option<String> {
    let probe = probes
        .iter()
        .find(|probe| !named && pattern.matches(probe))?;
    let instead = if ISSUERS.contains(probe) {
        "https://[a-z]+\\.corp\\.example"
    } else if probe.contains("://") {
        "https://github\\.com/acme/.*"
    } else {
        ".*@corp\\.example"
    };
    Some(format!(
        "it also matches `{probe}`, so anybody at any host: write the host out, such as `{instead}`"
    ))
}

/// What to say about dots in a host that match any character.
fn unescaped(text: &str) -> Option<String> {
    let ast = Parser::new().parse(text).ok()?;
    let mut dots = Vec::new();
    walk(&ast, &mut Place::default(), &mut dots);
    let mut escaped = text.to_owned();
    for &dot in dots.iter().rev() {
        escaped.insert(dot, '\\');
    }
    let written = if may_be_shown(&escaped) {
        quoted(&escaped)
    } else {
        "`\\.`".to_owned()
    };
    (!dots.is_empty()).then(|| {
        format!("a `.` in the host matches any character, so other hosts fit too: write {written}")
    })
}

/// Where in a URI or an e-mail address the walk has come.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// After `://`: what follows the path's `@` is no host.
    uri: bool,
    host: bool,
    slashes: u8,
}

impl Place {
    fn pass(&mut self, c: char) {
        let after_colon = self.slashes > 0;
        match c {
            ':' if !self.uri => self.slashes = 1,
            '/' if after_colon && self.slashes < 3 => {
                self.slashes += 1;
                (self.uri, self.host) = (self.slashes == 3, self.slashes == 3);
            }
            '/' => self.host = false,
            '@' if !self.uri => self.host = true,
            _ if !self.uri => self.slashes = 0,
            _ => {}
        }
    }
}

/// Gathers the offsets of dots that stand for themselves between the parts of a host, as far as
/// that can be seen: a dot that is repeated is meant as it is written.
fn walk(ast: &Ast, place: &mut Place, dots: &mut Vec<usize>) {
    match ast {
        Ast::Literal(literal) => place.pass(literal.c),
        Ast::Group(group) => walk(&group.ast, place, dots),
        Ast::Repetition(repeated) if matches!(*repeated.ast, Ast::Group(_)) => {
            walk(&repeated.ast, place, dots);
        }
        Ast::Alternation(alternation) => {
            let before = *place;
            for ast in &alternation.asts {
                *place = before;
                walk(ast, place, dots);
            }
        }
        Ast::Concat(concat) => {
            for (index, ast) in concat.asts.iter().enumerate() {
                let before = index.checked_sub(1).and_then(|at| concat.asts.get(at));
                let between = match (before, concat.asts.get(index + 1)) {
                    (Some(_), Some(next)) => is_letter(next),
                    // At the end of a group, as in `(www.)?`.
                    (Some(before), None) => is_letter(before),
                    (None, _) => false,
                };
                match ast {
                    Ast::Dot(span) if place.host && between => dots.push(span.start.offset),
                    _ => walk(ast, place, dots),
                }
            }
        }
        _ => {}
    }
}

fn is_letter(ast: &Ast) -> bool {
    matches!(ast, Ast::Literal(literal) if literal.kind == LiteralKind::Verbatim && literal.c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> Option<String> {
        assert!(Pattern::reg_exp(text, &SUBJECTS).is_ok(), "{text}");
        let message = unescaped(text)?;
        let (_, written) = message.split_once("write `")?;
        Some(written.trim_end_matches('`').to_owned())
    }

    #[test]
    fn a_dot_in_a_host_that_matches_any_character_is_found() {
        for (text, expected) in [
            ("https://github.com/acme/.*", r"https://github\.com/acme/.*"),
            (
                "https://(www.)?git.acme.example",
                r"https://(www\.)?git\.acme\.example",
            ),
            (".*@corp.example", r".*@corp\.example"),
            (
                "https://.*.github.com/acme/x",
                r"https://.*\.github\.com/acme/x",
            ),
            (
                r"https://a\.b/c|https://d.e/f",
                r"https://a\.b/c|https://d\.e/f",
            ),
            (
                "https://[a-z]+.corp.example",
                r"https://[a-z]+\.corp\.example",
            ),
        ] {
            assert_eq!(escaped(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            r"https://github\.com/acme/.*",
            r"https://github\.com/acme/app/.github/workflows/release.yml@refs/tags/v1.2.*",
            r".*@corp\.example",
            r"john.doe@corp\.example",
            r"https://[a-z.]+/acme",
            "https://.*",
            "a.b",
        ] {
            assert_eq!(escaped(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_long_expression_only_what_to_write_is_said() {
        let message = unescaped(&format!("https://github.com/{}", "a/".repeat(60))).unwrap();
        assert!(message.ends_with("write `\\.`"), "{message}");
    }

    #[test]
    fn an_expression_that_names_no_host_is_broad() {
        let message = |text: &str, probes: &[&str], named| {
            broad(&Pattern::reg_exp(text, probes).unwrap(), probes, named)
        };
        for text in [
            "https://.*",
            ".*@.*",
            "[^@]+@[^@]+",
            r".*/release\.yml@refs/heads/main",
            "https?://[^/]+/.*",
            "spiffe://.*",
            r"https://github\.com/acme/.*|.+@.+",
        ] {
            assert!(message(text, &SUBJECTS, false).is_some(), "{text}");
            assert_eq!(message(text, &SUBJECTS, true), None, "{text}");
        }
        assert!(message("https://[^/]*", &ISSUERS, false).is_some());
        for text in [
            r"https://github\.com/acme/.*",
            r".*@corp\.example",
            r"https://.*\.corp\.example/.*",
            "https://github.com/.*",
        ] {
            assert_eq!(message(text, &SUBJECTS, false), None, "{text}");
        }
    }
}
