use super::*;
use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::keyless::{IdentityDraft, MAX_IDENTITIES, PatternDraft};
use crate::model::{Mode, Requirement, RequirementDraft};
use crate::problem::{Problem, Problems, Reason};
use crate::testing::{KEYS, authority, certified, keyless, named, public_good};

const ISSUER: &str = "https://accounts.example.com";

fn requirement(
    threshold: u32,
    authorities: Vec<AuthorityDraft>,
    roots: &TrustRoots,
) -> Result<Requirement, Vec<Problem>> {
    let draft = RequirementDraft {
        mode: Mode::Enforce,
        threshold,
        authorities,
        signed_identity: SignedIdentity::MatchRepository {
            unnamed: UnnamedSignatures::Accept,
        },
    };
    Requirement::new(draft, roots).map_err(|Problems(problems)| problems)
}

/// The problems of one authority.
fn problems(authority: AuthorityDraft, roots: &TrustRoots) -> Vec<(String, Reason)> {
    let problems = requirement(1, vec![authority], roots).unwrap_err();
    problems.into_iter().map(|p| (p.field, p.reason)).collect()
}

fn one(field: &str, reason: Reason) -> Vec<(String, Reason)> {
    vec![(field.to_owned(), reason)]
}

/// A trust root of these parts of the public-good one.
fn part(fulcio: bool, rekor: bool) -> Arc<TrustRoot> {
    let whole = public_good();
    let fulcio = fulcio.then(|| whole.fulcio_roots()[0].to_pem());
    let rekor: Vec<String> = rekor
        .then(|| whole.p256_rekor_keys()[0].to_pem())
        .into_iter()
        .collect();
    Arc::new(TrustRoot::from_pem(fulcio.as_deref(), &rekor, &[], None).unwrap())
}

#[test]
fn an_authority_of_every_kind_survives_its_own_json() {
    let (reference, roots) = named(&public_good());
    let mut logged = certified("pki", "b@example.com");
    if let SignerDraft::Certificate {
        transparency_log,
        subject,
        ..
    } = &mut logged.signer
    {
        *transparency_log = Some(reference.clone());
        subject.dns_name = Some("build.example.com".to_owned());
    }
    let drafts = vec![
        authority("key", KEYS[0]),
        keyless("person", &reference, ISSUER, "a@example.com"),
        logged,
    ];
    let before = requirement(3, drafts, &roots).unwrap();
    let json = serde_json::to_string(&before).unwrap();
    let draft: RequirementDraft = serde_json::from_str(&json).unwrap();
    assert_eq!(Requirement::new(draft, &roots).unwrap(), before);
    assert_eq!(before.trust_roots().count(), 2);
}

#[test]
fn a_trust_root_that_did_not_come_along_is_named() {
    let (reference, roots) = named(&public_good());
    let field = "authorities[0].keyless.trustRoot";
    let keyless = keyless("person", &reference, ISSUER, "a@example.com");
    assert!(requirement(1, vec![keyless.clone()], &roots).is_ok());
    assert_eq!(
        problems(keyless, &TrustRoots::new()),
        one(field, Reason::NotFound)
    );
    let mut logged = authority("key", KEYS[0]);
    if let SignerDraft::Key {
        transparency_log, ..
    } = &mut logged.signer
    {
        *transparency_log = Some(reference);
    }
    let field = "authorities[0].transparencyLog.trustRoot";
    assert_eq!(
        problems(logged, &TrustRoots::new()),
        one(field, Reason::NotFound)
    );
}

#[test]
fn keyless_needs_a_certificate_authority_and_a_log() {
    let field = "authorities[0].keyless.trustRoot";
    for (fulcio, rekor) in [(true, false), (false, true)] {
        let (reference, roots) = named(&part(fulcio, rekor));
        let keyless = keyless("person", &reference, ISSUER, "a@example.com");
        assert_eq!(
            problems(keyless, &roots),
            one(field, Reason::TrustRootNotReady)
        );
    }
}

#[test]
fn a_demanded_log_entry_needs_a_log() {
    let (reference, roots) = named(&part(true, false));
    let mut logged = authority("key", KEYS[0]);
    if let SignerDraft::Key {
        transparency_log, ..
    } = &mut logged.signer
    {
        *transparency_log = Some(reference);
    }
    let field = "authorities[0].transparencyLog.trustRoot";
    assert_eq!(
        problems(logged, &roots),
        one(field, Reason::TrustRootNotReady)
    );
}

#[test]
fn an_authority_without_identities_is_refused() {
    let (reference, roots) = named(&public_good());
    let mut draft = keyless("person", &reference, ISSUER, "a@example.com");
    let SignerDraft::Keyless { identities, .. } = &mut draft.signer else {
        panic!()
    };
    let one_identity = identities.remove(0);
    let field = "authorities[0].keyless.identities";
    assert_eq!(problems(draft.clone(), &roots), one(field, Reason::Invalid));
    let SignerDraft::Keyless { identities, .. } = &mut draft.signer else {
        panic!()
    };
    *identities = vec![one_identity; MAX_IDENTITIES + 1];
    assert_eq!(problems(draft, &roots), one(field, Reason::Invalid));
}

#[test]
fn a_certificate_needs_a_subject_and_real_certificates() {
    let change = |change: fn(&mut String, &mut String, &mut CertificateSubject)| {
        let mut draft = certified("pki", "a@example.com");
        let SignerDraft::Certificate {
            roots,
            intermediates,
            subject,
            ..
        } = &mut draft.signer
        else {
            panic!()
        };
        change(roots, intermediates, subject);
        problems(draft, &TrustRoots::new())
    };
    let field = "authorities[0].certificate.subject";
    let empty = change(|_, _, subject| *subject = CertificateSubject::default());
    assert_eq!(empty, one(field, Reason::Invalid));
    let blank = change(|_, _, subject| subject.dns_name = Some(String::new()));
    assert_eq!(blank, one(field, Reason::Invalid));
    let hidden = change(|_, _, subject| subject.email = Some("a\u{202e}@b.example".to_owned()));
    assert_eq!(hidden, one(field, Reason::Invalid));
    for name in ["*.corp.example", "192.0.2.1", "::1"] {
        let mut draft = certified("pki", "a@example.com");
        if let SignerDraft::Certificate { subject, .. } = &mut draft.signer {
            subject.dns_name = Some(name.to_owned());
        }
        let field = "authorities[0].certificate.subject.dnsName";
        assert_eq!(
            problems(draft, &TrustRoots::new()),
            one(field, Reason::Invalid)
        );
    }
    let garbage = change(|roots, _, _| *roots = KEYS[0].to_owned());
    let field = "authorities[0].certificate.roots";
    assert_eq!(garbage, one(field, Reason::InvalidCertificate));
    let garbage = change(|_, intermediates, _| *intermediates = "x".to_owned());
    let field = "authorities[0].certificate.intermediates";
    assert_eq!(garbage, one(field, Reason::InvalidCertificate));
}

#[test]
fn with_a_threshold_above_one_authorities_must_not_share_an_identity() {
    let (root, roots) = named(&public_good());
    let pair = |issuer: &str, subject: PatternDraft| {
        let one = keyless("a", &root, ISSUER, "x@example.com");
        let mut two = keyless("b", &root, issuer, "y@example.com");
        if let SignerDraft::Keyless { identities, .. } = &mut two.signer {
            identities[0].subject = subject;
        }
        vec![one, two]
    };
    let exact = |text: &str| PatternDraft::Exact(text.to_owned());
    let reg_exp = |text: &str| PatternDraft::RegExp(text.to_owned());
    let field = "authorities[1].keyless.identities[0]";
    for (issuer, subject) in [
        (ISSUER, exact("x@example.com")),
        (ISSUER, reg_exp(".*@example\\.com")),
    ] {
        let drafts = pair(issuer, subject);
        assert!(requirement(1, drafts.clone(), &roots).is_ok());
        let problems = requirement(2, drafts, &roots).unwrap_err();
        assert_eq!(
            (problems[0].field.as_str(), problems[0].reason),
            (field, Reason::Invalid)
        );
    }
    for (issuer, subject) in [
        (ISSUER, exact("y@example.com")),
        (ISSUER, reg_exp(".*@corp\\.example")),
        ("https://other.example", exact("y@example.com")),
    ] {
        assert!(requirement(2, pair(issuer, subject), &roots).is_ok());
    }
}

#[test]
fn the_same_address_at_two_providers_is_one_signer() {
    let (root, roots) = named(&public_good());
    let pair = |subject: &str, other: &str| {
        vec![
            keyless("a", &root, ISSUER, subject),
            keyless("b", &root, "https://other.example", other),
        ]
    };
    let same = pair("alice@corp.example", "Alice@corp.example");
    assert!(requirement(1, same.clone(), &roots).is_ok());
    let problems = requirement(2, same, &roots).unwrap_err();
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    let said = "`Alice@corp.example` is one signer, whichever identity provider vouches for it, and may also be in authority `a`";
    assert!(problem.message.starts_with(said), "{}", problem.message);
    assert_eq!(problem.field, "authorities[1].keyless.identities[0]");
    assert!(requirement(2, pair("alice@corp.example", "bob@corp.example"), &roots).is_ok());
    // A path means something at its provider alone.
    let path = "https://git.example/app/.github/workflows/a.yml@refs/heads/main";
    assert!(requirement(2, pair(path, path), &roots).is_ok());
}

#[test]
fn one_person_with_a_company_certificate_and_a_keyless_one_is_one_signer() {
    let (root, roots) = named(&public_good());
    let person = |subject: &str| keyless("person", &root, ISSUER, subject);
    let company = || certified("company", "alice@corp.example");
    let alice = "ALICE@corp.example";
    for (authorities, field) in [
        (
            vec![person(alice), company()],
            "authorities[1].certificate.subject",
        ),
        (
            vec![company(), person(alice)],
            "authorities[1].keyless.identities[0]",
        ),
    ] {
        assert!(requirement(1, authorities.clone(), &roots).is_ok());
        let problems = requirement(2, authorities, &roots).unwrap_err();
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}")
        };
        assert_eq!(problem.field, field);
        let said = "`alice@corp.example` is one signer, by a keyless certificate and by a company's own, and may also be in authority `";
        assert!(problem.message.starts_with(said), "{}", problem.message);
    }
    let mut expression = person(alice);
    if let SignerDraft::Keyless { identities, .. } = &mut expression.signer {
        identities[0].subject = PatternDraft::RegExp(".*@corp\\.example".to_owned());
    }
    assert!(requirement(2, vec![expression, company()], &roots).is_err());
    for subject in ["bob@corp.example", "https://git.example/alice@corp.example"] {
        assert!(requirement(2, vec![person(subject), company()], &roots).is_ok());
    }
    let key = authority("key", KEYS[0]);
    assert!(requirement(2, vec![key, company()], &roots).is_ok());
}

#[test]
fn with_a_threshold_above_one_authorities_must_not_share_a_certificate() {
    let pair = |email| vec![certified("a", "x@example.com"), certified("b", email)];
    let problems = requirement(2, pair("x@example.com"), &TrustRoots::new()).unwrap_err();
    assert_eq!(problems[0].field, "authorities[1].certificate.subject");
    assert!(requirement(2, pair("y@example.com"), &TrustRoots::new()).is_ok());
    // A certificate may have an e-mail address and a host name.
    let mut drafts = pair("y@example.com");
    if let SignerDraft::Certificate { subject, .. } = &mut drafts[1].signer {
        subject.dns_name = subject.email.take();
    }
    assert!(requirement(2, drafts, &TrustRoots::new()).is_err());
}

#[test]
fn the_order_of_identities_and_of_certificates_never_changes_a_byte() {
    let (reference, roots) = named(&public_good());
    let json = |authority: AuthorityDraft| {
        let requirement = requirement(1, vec![authority], &roots).unwrap();
        serde_json::to_string(&requirement).unwrap()
    };
    let people = |names: &[&str]| {
        let mut draft = keyless("a", &reference, ISSUER, "x");
        if let SignerDraft::Keyless { identities, .. } = &mut draft.signer {
            let one = identities.remove(0);
            let named = |name: &&str| IdentityDraft {
                subject: PatternDraft::Exact((*name).to_owned()),
                ..one.clone()
            };
            identities.extend(names.iter().map(named));
        }
        json(draft)
    };
    assert_eq!(
        people(&["a@b.c", "d@e.f"]),
        people(&["d@e.f", "a@b.c", "d@e.f"])
    );
    let company = |order: [usize; 2]| {
        let mut draft = certified("a", "a@example.com");
        let whole = public_good();
        if let SignerDraft::Certificate { roots, .. } = &mut draft.signer {
            *roots = order.map(|at| whole.fulcio_roots()[at].to_pem()).concat();
        }
        json(draft)
    };
    assert_eq!(company([0, 1]), company([1, 0]));
}
