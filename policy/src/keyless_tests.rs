use super::*;

fn draft(issuer: PatternDraft, subject: PatternDraft, claims: &[(&str, &str)]) -> IdentityDraft {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    IdentityDraft {
        issuer,
        subject,
        claims: claims.iter().map(own).collect(),
    }
}

fn exact(text: &str) -> PatternDraft {
    PatternDraft::Exact(text.to_owned())
}

fn reg_exp(text: &str) -> PatternDraft {
    PatternDraft::RegExp(text.to_owned())
}

fn identity(draft: &IdentityDraft) -> Result<Identity, Vec<crate::problem::Problem>> {
    let mut report = Report::default();
    let identity = Identity::parse(&mut report, "i", draft);
    identity.ok_or(report.0)
}

fn signer(issuer: Option<&str>, subject: &str, claims: &[(&str, &str)]) -> Signer {
    Signer {
        issuer: issuer.map(str::to_owned),
        subject: subject.to_owned(),
        claims: draft(exact("i"), exact("s"), claims).claims,
    }
}

#[test]
fn issuer_subject_and_every_claim_must_be_right() {
    let claims = [("sourceRepositoryURI", "https://g.example/a")];
    let identity = identity(&draft(
        exact("https://i.example"),
        reg_exp(".*@a.example"),
        &claims,
    ));
    let identity = identity.unwrap();
    let accepts = |issuer, subject, claims: &[(&str, &str)]| {
        identity.accepts(&signer(issuer, subject, claims))
    };
    let issuer = Some("https://i.example");
    assert!(accepts(issuer, "x@a.example", &claims));
    assert!(!accepts(None, "x@a.example", &claims));
    assert!(!accepts(Some("https://i.example/"), "x@a.example", &claims));
    assert!(!accepts(issuer, "x@a.example.evil", &claims));
    assert!(!accepts(issuer, "x@a.example", &[]));
    let other = [("sourceRepositoryURI", "https://g.example/b")];
    assert!(!accepts(issuer, "x@a.example", &other));
}

#[test]
fn a_claim_that_fulcio_does_not_know_is_refused() {
    let problems = identity(&draft(exact("i"), exact("s"), &[("repository", "x")])).unwrap_err();
    assert_eq!(problems[0].field, "i.claims");
    assert!(problems[0].message.contains("sourceRepositoryURI"));
}

#[test]
fn texts_that_are_empty_or_too_long_are_refused() {
    let long = "x".repeat(MAX_TEXT + 1);
    for (draft, field) in [
        (draft(exact(""), exact("s"), &[]), "i.issuer"),
        (draft(exact(&long), exact("s"), &[]), "i.issuer"),
        (draft(exact("i"), reg_exp(""), &[]), "i.subjectRegExp"),
        (draft(exact("i"), exact(&long), &[]), "i.subject"),
        (
            draft(exact("i"), exact("s"), &[("buildTrigger", "")]),
            "i.claims.buildTrigger",
        ),
    ] {
        let problems = identity(&draft).unwrap_err();
        assert_eq!(problems[0].field, field);
        assert_eq!(problems[0].reason, Reason::Invalid);
    }
}

#[test]
fn an_expression_that_may_not_be_used_is_an_invalid_reg_exp() {
    let problems = identity(&draft(reg_exp(".*"), reg_exp("a)|(b"), &[])).unwrap_err();
    let found: Vec<(&str, Reason)> = problems
        .iter()
        .map(|p| (p.field.as_str(), p.reason))
        .collect();
    let wanted = [
        ("i.issuerRegExp", Reason::InvalidRegExp),
        ("i.subjectRegExp", Reason::InvalidRegExp),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn one_person_is_one_whatever_the_claims_and_the_letter_case() {
    let of = |claims: &[(&str, &str)], subject: &str| {
        identity(&draft(exact("https://i.example"), exact(subject), claims)).unwrap()
    };
    let (push, release) = (
        of(&[("buildTrigger", "push")], "a@b.example"),
        of(&[("buildTrigger", "release")], "A@b.example"),
    );
    assert!(!push.excludes(&release) && !release.excludes(&push));
    assert!(push.excludes(&of(&[], "c@b.example")));
}

#[test]
fn an_address_is_one_signer_at_every_provider_and_a_uri_is_not() {
    let at = |issuer: &str, subject: PatternDraft| {
        identity(&draft(exact(issuer), subject, &[])).unwrap()
    };
    let excludes = |one: PatternDraft, two: PatternDraft| {
        let (one, two) = (at("https://a.example", one), at("https://b.example", two));
        assert_eq!(one.excludes(&two), two.excludes(&one));
        one.excludes(&two)
    };
    let uri = "https://git.example/app/.github/workflows/a.yml@refs/heads/main";
    for (one, two, differ) in [
        (exact("x@y.example"), exact("X@Y.example"), false),
        (exact("x@y.example"), exact("z@y.example"), true),
        (exact("x@y.example"), reg_exp(".*@y\\.example"), false),
        (exact("build.y.example"), exact("build.y.example"), false),
        (exact("x!y.example"), exact("x!y.example"), false),
        (reg_exp(".*@y\\.example"), reg_exp(".*@y\\.example"), false),
        (reg_exp(".*@y\\.example"), reg_exp(".*@z\\.example"), true),
        (exact(uri), exact(uri), true),
        (exact("spiffe://y/a"), exact("spiffe://y/a"), true),
        (exact("urn:y:a"), exact("urn:y:a"), true),
        (exact(uri), reg_exp("https://git\\.example/.*"), true),
        (
            reg_exp("https://git\\.example/.*"),
            reg_exp("https://git\\.example/.*"),
            true,
        ),
    ] {
        assert_eq!(
            excludes(one.clone(), two.clone()),
            differ,
            "{one:?} {two:?}"
        );
    }
}

#[test]
fn texts_that_a_terminal_would_obey_are_refused() {
    for (draft, field) in [
        (
            draft(exact("https://i\u{1b}[2J"), exact("s"), &[]),
            "i.issuer",
        ),
        (draft(exact("i"), exact("a\u{202e}b"), &[]), "i.subject"),
        (
            draft(exact("i"), reg_exp("a\u{7f}"), &[]),
            "i.subjectRegExp",
        ),
        (
            draft(exact("i"), exact("s"), &[("buildTrigger", "a\nb")]),
            "i.claims.buildTrigger",
        ),
    ] {
        let problems = identity(&draft).unwrap_err();
        assert_eq!(
            (problems[0].field.as_str(), problems[0].reason),
            (field, Reason::Invalid)
        );
    }
}
