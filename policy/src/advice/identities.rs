//! Warnings about regular expressions for identities: what is valid, and lets in more than its
//! author may know.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, LiteralKind};

use super::{Advice, Identity, Word};
use crate::pattern::{ISSUERS, Pattern, SUBJECTS};
use crate::text::may_be_shown;

/// Claims that say whose certificate it is, whatever its subject.
pub const NAMING: [&str; 7] = [
    "buildConfigURI",
    "buildSignerURI",
    "sourceRepositoryIdentifier",
    "sourceRepositoryOwnerIdentifier",
    "sourceRepositoryOwnerURI",
    "sourceRepositoryURI",
    "tokenSubject",
];

/// Hosts where anybody can have a name, with what a name is there.
pub const FORGES: [&str; 5] = [
    "bitbucket.org",
    "codeberg.org",
    "github.com",
    "gitlab.com",
    "buildkite.com",
];
/// What follows such a name in the subjects of certificates.
pub const FORGE_PATHS: [&str; 4] = [
    "/a",
    "/a/.github/workflows/release.yml@refs/heads/main",
    "/a/.github/workflows/release.yaml@refs/tags/v1.2.3",
    "/a//.gitlab-ci.yml@refs/heads/main",
];
/// Where anybody can have an address.
pub const MAIL_PROVIDERS: [&str; 6] = [
    "gmail.com",
    "googlemail.com",
    "hotmail.com",
    "outlook.com",
    "proton.me",
    "yahoo.com",
];
/// An expression for both is not for one owner.
const OWNERS: [&str; 2] = ["nobody", "everybody"];

/// What may surprise about an identity.
pub(super) fn advise(identity: &Identity) -> Vec<Advice> {
    let named = identity
        .claims
        .iter()
        .any(|name| NAMING.contains(&name.as_str()));
    let issuer = (
        "issuerRegExp",
        &identity.issuer_reg_exp,
        &ISSUERS[..],
        false,
    );
    let subject = (
        "subjectRegExp",
        &identity.subject_reg_exp,
        &SUBJECTS[..],
        named,
    );
    let mut all = Vec::new();
    for (name, expression, probes, named) in [issuer, subject] {
        let Some((text, Ok(pattern))) = expression
            .as_ref()
            .map(|text| (text, Pattern::reg_exp(text, probes)))
        else {
            continue;
        };
        let field = format!("{}.{name}", identity.field);
        if let Some(message) = broad(&pattern, probes, named) {
            all.push(Advice::new(&field, Word::BroadRegExp, message));
        } else if let Some(message) =
            any_owner(&pattern).filter(|_| name == "subjectRegExp" && !named)
        {
            all.push(Advice::new(&field, Word::AnyOwner, message));
        }
        if let Some(message) = unescaped(text) {
            all.push(Advice::new(&field, Word::UnescapedDot, message));
        }
    }
    all
}

/// What to say about an expression that fits everybody at a host that anybody can join.
fn any_owner(pattern: &Pattern) -> Option<String> {
    let all = |of: &dyn Fn(&str) -> String| OWNERS.iter().all(|owner| pattern.matches(&of(owner)));
    let forge = FORGES.iter().find(|host| {
        FORGE_PATHS
            .iter()
            .any(|path| all(&|owner| format!("https://{host}/{owner}{path}")))
    });
    if let Some(host) = forge {
        let escaped = host.replace('.', "\\.");
        return Some(format!(
            "it fits everybody at {host}, where anybody can have a repository: write the owner out, such as `https://{escaped}/acme/.*`"
        ));
    }
    let provider = MAIL_PROVIDERS
        .iter()
        .find(|host| all(&|owner| format!("{owner}@{host}")))?;
    Some(format!(
        "it fits everybody at {provider}, where anybody can have an address: write the whole address"
    ))
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
        format!("`{escaped}`")
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

    #[test]
    fn an_expression_for_everybody_where_anybody_can_be_is_found() {
        let found = |text: &str| any_owner(&Pattern::reg_exp(text, &SUBJECTS).unwrap());
        for text in [
            r"https://github\.com/.*",
            "https://github.com/.+/.+/.github/workflows/.*@refs/heads/main",
            r"https://gitlab\.com/[^/]+/[^/]+//\.gitlab-ci\.yml@refs/heads/.*",
            r".*@gmail\.com",
            r"https://(github|gitlab)\.com/[a-z]+/a",
        ] {
            assert!(found(text).is_some(), "{text}");
        }
        for text in [
            r"https://github\.com/acme/.*",
            r"https://github\.com/(acme|nobody)/.*",
            r".*@corp\.example",
            r"(john|jane)@gmail\.com",
            r"https://github\.com/[a-z]+/app/\.github/workflows/release\.yml@refs/heads/main",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_claim_that_names_the_owner_makes_a_broad_subject_narrow() {
        let mut identity = Identity {
            field: "f".to_owned(),
            subject_reg_exp: Some(r"https://github\.com/.*".to_owned()),
            ..Identity::default()
        };
        let words = |identity: &Identity| -> Vec<Word> {
            advise(identity)
                .into_iter()
                .map(|advice| advice.word)
                .collect()
        };
        assert_eq!(words(&identity), [Word::AnyOwner]);
        identity.claims.insert("runnerEnvironment".to_owned());
        assert_eq!(words(&identity), [Word::AnyOwner]);
        identity
            .claims
            .insert("sourceRepositoryOwnerURI".to_owned());
        assert_eq!(words(&identity), []);
        identity.subject_reg_exp = Some("https://.*".to_owned());
        identity.claims.clear();
        // Whoever is at any host is at that one too; said once.
        assert_eq!(words(&identity), [Word::BroadRegExp]);
    }
}
