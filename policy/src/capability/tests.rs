use super::*;
use crate::authority::{AuthorityDraft, SignerDraft, TrustRoots};
use crate::identity::SignedIdentity;
use crate::keyless::PatternDraft;
use crate::model::{Mode, PolicyDraft, PolicyId};
use crate::testing::{KEYS, authority, certified, draft, keyless, named, public_good};

const NEW: Runtime = Runtime::Crio(Version::new(1, 34, 0));
const ISSUER: &str = "https://accounts.example.com";

/// A policy with one change to a draft that refers to the public-good trust root.
fn policy(change: impl FnOnce(&mut PolicyDraft, &crate::authority::TrustRootRef)) -> Policy {
    let (reference, roots) = named(&public_good());
    let mut draft = draft("p", &["a.example"], &[]);
    change(&mut draft, &reference);
    Policy::new(draft, &roots).unwrap()
}

/// With these authorities, all of which have to sign.
fn all_of(
    authorities: impl FnOnce(&crate::authority::TrustRootRef) -> Vec<AuthorityDraft>,
) -> Policy {
    policy(|draft, root| {
        draft.requirement.authorities = authorities(root);
        draft.requirement.threshold = u32::try_from(draft.requirement.authorities.len()).unwrap();
    })
}

/// Why it is not expressible, as `authority/field: reason`.
fn prevents(policy: &Policy, runtime: Runtime) -> Vec<String> {
    let words = |limit: &Limitation| {
        let authority = limit.authority.as_deref().unwrap_or("-");
        format!("{authority}/{}: {}", limit.field, limit.reason)
    };
    of(policy, runtime).prevents.iter().map(words).collect()
}

fn warned(policy: &Policy, runtime: Runtime) -> Vec<Reason> {
    let warnings = of(policy, runtime).warnings;
    warnings.into_iter().map(|warning| warning.reason).collect()
}

fn crio(minor: u64) -> Runtime {
    Runtime::Crio(format!("1.{minor}.0").parse().unwrap())
}

fn with_log(
    mut authority: AuthorityDraft,
    root: &crate::authority::TrustRootRef,
) -> AuthorityDraft {
    let (SignerDraft::Key {
        transparency_log, ..
    }
    | SignerDraft::Certificate {
        transparency_log, ..
    }) = &mut authority.signer
    else {
        panic!("{authority:?}")
    };
    *transparency_log = Some(root.clone());
    authority
}

#[test]
fn every_kind_of_authority_is_expressible_side_by_side_from_the_version_that_knows_it() {
    let policy = all_of(|root| {
        vec![
            authority("key", KEYS[0]),
            with_log(authority("logged", KEYS[1]), root),
            keyless("person", root, ISSUER, "a@example.com"),
            certified("pki", "build@example.com"),
        ]
    });
    assert_eq!(prevents(&policy, crio(33)), [""; 0]);
    assert_eq!(
        prevents(&policy, crio(32)),
        ["pki/certificate: NotExpressible"]
    );
    let old = [
        "logged/transparencyLog.trustRoot: NotExpressible",
        "person/keyless.trustRoot: NotExpressible",
        "pki/certificate: NotExpressible",
    ];
    assert_eq!(prevents(&policy, crio(26)), old);
    assert_eq!(prevents(&policy, crio(24)), ["-/: NotExpressible"]);
    assert_eq!(prevents(&policy, Runtime::Containerd(None)), [""; 0]);
}

#[test]
fn what_keyless_says_beyond_one_e_mail_address_is_not_expressible_and_all_of_it_is_named() {
    let policy = all_of(|root| {
        let mut authority = keyless("ci", root, ISSUER, "https://github.com/a/b");
        let SignerDraft::Keyless { identities, .. } = &mut authority.signer else {
            panic!()
        };
        identities[0].issuer = PatternDraft::RegExp("https://.*\\.example".to_owned());
        let claim = ("buildTrigger".to_owned(), "push".to_owned());
        identities[0].claims.extend([claim]);
        vec![authority]
    });
    let wanted = [
        "ci/keyless.identities[0].issuerRegExp: NotExpressible",
        "ci/keyless.identities[0].subject: NotExpressible",
        "ci/keyless.identities[0].claims: NotExpressible",
    ];
    assert_eq!(prevents(&policy, NEW), wanted);
}

#[test]
fn a_regular_expression_for_the_subject_is_not_expressible() {
    let policy = all_of(|root| {
        let mut authority = keyless("ci", root, ISSUER, "x");
        let SignerDraft::Keyless { identities, .. } = &mut authority.signer else {
            panic!()
        };
        identities[0].subject = PatternDraft::RegExp(".*@a\\.example".to_owned());
        vec![authority]
    });
    let wanted = ["ci/keyless.identities[0].subjectRegExp: NotExpressible"];
    assert_eq!(prevents(&policy, NEW), wanted);
}

#[test]
fn several_identities_are_an_or_that_is_not_expressible() {
    let policy = all_of(|root| {
        let mut authority = keyless("ci", root, ISSUER, "a@example.com");
        let SignerDraft::Keyless { identities, .. } = &mut authority.signer else {
            panic!()
        };
        identities.push(identities[0].clone());
        identities[1].subject = PatternDraft::Exact("b@example.com".to_owned());
        vec![authority]
    });
    assert_eq!(
        prevents(&policy, NEW),
        ["ci/keyless.identities: NotExpressible"]
    );
}

#[test]
fn some_of_several_authorities_is_expressible_for_keys_only() {
    let policy = policy(|draft, root| {
        draft.requirement.authorities = vec![
            authority("key", KEYS[0]),
            keyless("person", root, ISSUER, "a@example.com"),
            certified("pki", "a@example.com"),
        ];
    });
    let wanted = [
        "person/keyless: NotExpressible",
        "pki/certificate: NotExpressible",
    ];
    assert_eq!(prevents(&policy, NEW), wanted);
}

#[test]
fn some_of_several_keys_need_the_same_log() {
    let mixed = policy(|draft, root| {
        let (a, b) = (authority("a", KEYS[0]), authority("b", KEYS[1]));
        draft.requirement.authorities = vec![a, with_log(b, root)];
    });
    assert_eq!(prevents(&mixed, NEW), ["-/authorities: NotExpressible"]);
    let same = policy(|draft, root| {
        let (a, b) = (authority("a", KEYS[0]), authority("b", KEYS[1]));
        draft.requirement.authorities = vec![with_log(a, root), with_log(b, root)];
    });
    assert_eq!(prevents(&same, NEW), [""; 0]);
}

#[test]
fn a_pki_with_a_log_is_not_expressible() {
    let policy = all_of(|root| vec![with_log(certified("pki", "a@example.com"), root)]);
    assert_eq!(
        prevents(&policy, NEW),
        ["pki/transparencyLog: NotExpressible"]
    );
}

#[test]
fn audit_and_old_versions_for_namespaces_are_reported() {
    let audit = policy(|draft, _| draft.requirement.mode = Mode::Audit);
    assert_eq!(prevents(&audit, NEW), ["-/mode: AuditUnsupported"]);
    assert_eq!(prevents(&audit, Runtime::Containerd(None)), [""; 0]);
    let namespaced = policy(|draft, _| {
        draft.id = PolicyId::Namespaced {
            namespace: "ns".to_owned(),
            name: "p".to_owned(),
        };
    });
    assert_eq!(prevents(&namespaced, crio(30)), ["-/: NotExpressible"]);
    assert_eq!(prevents(&namespaced, crio(31)), [""; 0]);
    assert!(warned(&namespaced, crio(32)).contains(&Reason::ImageVolumes));
    assert!(!warned(&namespaced, crio(33)).contains(&Reason::ImageVolumes));
    let on_containerd = prevents(&namespaced, Runtime::Containerd(None));
    assert_eq!(on_containerd, ["-/: NamespacedUnsupported"]);
}

#[test]
fn an_audit_hides_nothing_of_what_enforcing_would_meet() {
    let with = |mode: Mode, authorities: usize| {
        policy(|draft, _| {
            draft.requirement.mode = mode;
            draft.requirement.authorities = (0..authorities)
                .map(|i| certified(&format!("a{i}"), "a@example.com"))
                .collect();
        })
    };
    let audit = with(Mode::Audit, 1);
    assert_eq!(prevents(&audit, NEW), ["-/mode: AuditUnsupported"]);
    assert_eq!(warned(&audit, NEW), warned(&with(Mode::Enforce, 1), NEW));
    assert!(warned(&audit, NEW).contains(&Reason::CurrentTime));
    // One of two certificates cannot be said: nothing to know beside that.
    let wanted = [
        "-/mode: AuditUnsupported",
        "a0/certificate: NotExpressible",
        "a1/certificate: NotExpressible",
    ];
    assert_eq!(prevents(&with(Mode::Audit, 2), NEW), wanted);
    assert_eq!(warned(&with(Mode::Audit, 2), NEW), []);
    let Err(limits) = crio::express_within(&audit, Version::new(1, 34, 0), 1024) else {
        panic!("no limit")
    };
    let reasons: Vec<Reason> = limits.into_iter().map(|limit| limit.reason).collect();
    assert_eq!(reasons, [Reason::AuditUnsupported, Reason::TooLarge]);
}

#[test]
fn a_policy_too_large_at_its_scopes_is_reported() {
    let policy = policy(|draft, root| {
        draft.scopes = (0..256).map(|i| format!("r{i}.example")).collect();
        // Each combination repeats its keys and the log.
        draft.requirement.authorities = (0..4)
            .map(|i| {
                let keys = crate::testing::KEYS.join("");
                with_log(AuthorityDraft::key(format!("a{i}"), keys), root)
            })
            .collect();
        draft.requirement.threshold = 1;
    });
    assert_eq!(prevents(&policy, NEW), [""; 0]);
    let Err(limits) = crio::express_within(&policy, Version::new(1, 34, 0), 1024) else {
        panic!("no limit")
    };
    assert_eq!(
        (limits[0].reason, limits[0].field.as_str()),
        (Reason::TooLarge, "scopes")
    );
}

#[test]
fn a_containerd_that_calls_no_verifier_expresses_nothing() {
    let policy = policy(|_, _| {});
    let old = |version: &str| Runtime::Containerd(Some(version.parse().unwrap()));
    assert_eq!(prevents(&policy, old("1.7.28")), ["-/: NotEnforcing"]);
    assert_eq!(prevents(&policy, old("2.0.5")), ["-/: NotEnforcing"]);
    assert_eq!(prevents(&policy, old("2.1.0")), [""; 0]);
}

#[test]
fn crio_warns_of_signatures_that_cosign_3_makes_by_default_with_the_flags_that_help() {
    let plain = policy(|_, _| {});
    let messages = |policy: &Policy| -> Vec<String> {
        let warnings = of(policy, NEW).warnings;
        warnings
            .into_iter()
            .map(|warning| warning.message)
            .collect()
    };
    assert!(messages(&plain)[0].contains("--new-bundle-format=false"));
    assert!(messages(&plain)[0].contains("--tlog-upload=false"));
    assert!(messages(&plain)[1].contains("--recursive"));
    let logged = all_of(|root| vec![with_log(authority("a", KEYS[0]), root)]);
    assert!(!messages(&logged)[0].contains("--tlog-upload=false"));
}

#[test]
fn each_warning_names_what_it_is_about() {
    let warnings = |policy: &Policy, runtime| -> Vec<String> {
        let words = |w: Limitation| {
            format!(
                "{}/{}: {}",
                w.authority.unwrap_or_default(),
                w.field,
                w.reason
            )
        };
        of(policy, runtime)
            .warnings
            .into_iter()
            .map(words)
            .collect()
    };
    let always = ["/: SignatureFormat", "/: RecursiveSigningNeeded"];
    let keyless = all_of(|root| vec![keyless("person", root, ISSUER, "a@example.com")]);
    let found = warnings(&keyless, NEW);
    assert_eq!(found[..2], always);
    let wanted = [
        "person/keyless.trustRoot: WeakerCheck",
        "person/keyless.trustRoot: SignatureFormat",
        "person/keyless.trustRoot: WeakerCheck",
    ];
    assert_eq!(found[2..], wanted);
    let pki = all_of(|_| vec![certified("pki", "a@example.com")]);
    assert_eq!(warnings(&pki, NEW)[2..], ["pki/certificate: CurrentTime"]);
    let tagged = policy(|draft, _| {
        draft.requirement.signed_identity = SignedIdentity::MatchRepoDigestOrExact;
    });
    assert_eq!(
        warnings(&tagged, NEW)[2..],
        ["/signedIdentity.type: TagInSignature"]
    );
    let on_containerd = warnings(&tagged, Runtime::Containerd(None));
    assert_eq!(on_containerd, ["/signedIdentity.type: TagInSignature"]);
    let exact = policy(|draft, _| {
        draft.requirement.signed_identity = SignedIdentity::ExactRepository {
            repository: "a.example/app".to_owned(),
        };
    });
    let on_containerd = warnings(&exact, Runtime::Containerd(None));
    assert_eq!(on_containerd, ["/signedIdentity.type: SignatureFormat"]);
}

#[test]
fn two_names_in_one_certificate_must_not_be_two_signers() {
    let both = |threshold| {
        policy(|draft, _| {
            let (a, b) = (
                certified("a", "a@corp.example"),
                certified("b", "b@corp.example"),
            );
            draft.requirement.authorities = vec![a, b];
            draft.requirement.threshold = threshold;
        })
    };
    let wanted = ["b/certificate.roots: NotExpressible"];
    assert_eq!(prevents(&both(2), NEW), wanted);
    assert_eq!(prevents(&both(2), Runtime::Containerd(None)), [""; 0]);
    let some_of_two = [
        "a/certificate: NotExpressible",
        "b/certificate: NotExpressible",
    ];
    assert_eq!(prevents(&both(1), NEW), some_of_two);
}

#[test]
fn what_crio_checks_less_is_warned_of() {
    let messages = |policy: &Policy| -> Vec<String> {
        let warnings = of(policy, NEW).warnings;
        let weaker = warnings
            .into_iter()
            .filter(|w| w.reason == Reason::WeakerCheck);
        weaker
            .map(|w| format!("{}: {}", w.field, w.message))
            .collect()
    };
    let host = all_of(|_| {
        let mut authority = certified("pki", "a@example.com");
        if let SignerDraft::Certificate { subject, .. } = &mut authority.signer {
            subject.dns_name = Some("ci.corp.example".to_owned());
        }
        vec![authority]
    });
    assert!(
        messages(&host)[0].contains("dnsName: CRI-O also accepts a certificate for a wildcard")
    );
    let mixed = all_of(|_| vec![authority("key", KEYS[0]), certified("pki", "a@example.com")]);
    assert!(messages(&mixed)[0].contains("threshold: CRI-O counts one signature"));
    // The public-good root's first certificate authority has ended, its ECDSA log has not.
    let person = all_of(|root| vec![keyless("person", root, ISSUER, "a@example.com")]);
    let ended = |message: &String| message.contains("(validFor)");
    assert!(messages(&person).iter().any(ended));
    assert_eq!(messages(&policy(|_, _| {})), [""; 0]);
}

#[test]
fn keys_whose_signatures_some_runtimes_do_not_verify_are_warned_of() {
    for (pem, runtime, expected) in [
        (P384, NEW, true),
        (P384, Runtime::Containerd(None), false),
        (ED25519, NEW, true),
        (ED25519, Runtime::Containerd(None), true),
        (KEYS[0], Runtime::Containerd(None), false),
    ] {
        let policy = Policy::new(
            {
                let mut draft = draft("p", &["a.example"], &[]);
                draft.requirement.authorities = vec![authority("a", pem)];
                draft
            },
            &TrustRoots::new(),
        );
        let warnings = of(&policy.unwrap(), runtime).warnings;
        let found = warnings.iter().any(|warning| warning.field == "key");
        assert_eq!(found, expected, "{pem} {runtime}");
    }
}

const P384: &str = "-----BEGIN PUBLIC KEY-----\n\
    MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEHWEYPOx0vJQO8+ZepJ/QWi5Qep4mB6rz\n\
    JzB54aEaRq6aw5wvnVMN6iID+qHSGuVRvd1m1wSqBSH+c+cIzJwtB1VLnjGDV6+q\n\
    XPo2iGFqRei9nMl9fovhJlzcefEh4fD/\n\
    -----END PUBLIC KEY-----\n";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAsWNMaUEJbR9jZXxCrP4RCzO6lBpqLEgc4YLPfZX4lbE=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn a_root_with_an_email_constraint_is_reported_when_it_is_read() {
    const CONSTRAINED: &str = include_str!("../../testdata/certificates/email-constraint-ca.pem");
    const OTHER: &str = include_str!("../../testdata/certificates/dns-constraint-ca.pem");
    const PLAIN: &str = include_str!("../../testdata/certificates/root-a.pem");
    let containerd = Runtime::Containerd(None);
    let warned = |roots: &str, intermediates: &str, email: Option<&str>, runtime| {
        let policy = policy(|draft, _| {
            let mut company = certified("company", "a@corp.example");
            let SignerDraft::Certificate {
                roots: anchors,
                intermediates: between,
                subject,
                ..
            } = &mut company.signer
            else {
                panic!("{company:?}")
            };
            roots.clone_into(anchors);
            intermediates.clone_into(between);
            subject.email = email.map(str::to_owned);
            subject.dns_name = Some("build.corp.example".to_owned());
            draft.requirement.authorities = vec![company];
        });
        let warnings = of(&policy, runtime).warnings.into_iter();
        let of_roots = warnings.filter(|warning| warning.message.contains("name constraints"));
        of_roots.collect::<Vec<_>>()
    };
    let email = Some("a@corp.example");
    let both = format!("{PLAIN}{CONSTRAINED}");
    for (roots, intermediates, field) in [
        (CONSTRAINED, "", "certificate.roots"),
        (&both, "", "certificate.roots"),
        (PLAIN, CONSTRAINED, "certificate.intermediates"),
    ] {
        let found = warned(roots, intermediates, email, containerd);
        let [warning] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(warning.reason, Reason::SignatureFormat);
        assert_eq!(warning.field, field);
        assert_eq!(warning.authority.as_deref(), Some("company"));
        let named = "`CN=email constraint,O=example`";
        assert!(warning.message.contains(named), "{}", warning.message);
    }
    for (roots, email, runtime) in [
        (OTHER, email, containerd),
        (PLAIN, email, containerd),
        (CONSTRAINED, None, containerd),
        // Its library knows the rule.
        (CONSTRAINED, email, NEW),
    ] {
        assert_eq!(warned(roots, "", email, runtime), []);
    }
}
