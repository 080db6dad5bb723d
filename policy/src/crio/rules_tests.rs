use std::sync::Arc;

use super::*;
use crate::authority::{AuthorityDraft, SignerDraft, TrustRoots};
use crate::model::RequirementDraft;
use crate::testing::{KEYS, authority, certified, draft, keyless, named, public_good};
use crate::trust::TrustRoot;

const NEW: Version = Version::new(1, 34, 0);

fn requirement(threshold: u32, keys: &[&str]) -> Requirement {
    let mut draft: RequirementDraft = draft("p", &["a.example"], &[]).requirement;
    draft.threshold = threshold;
    draft.authorities = keys
        .iter()
        .enumerate()
        .map(|(i, key)| authority(&format!("a{i}"), key))
        .collect();
    Requirement::try_from(draft).unwrap()
}

/// For each rule how many keys it lists.
fn shape(requirement: &Requirement, version: Version) -> Result<Vec<usize>, Vec<Limitation>> {
    let keys = |rule: &Rule| match rule {
        Rule::SigstoreSigned(signed) => signed.key_datas.as_ref().map_or(1, Vec::len),
        other => panic!("{other:?}"),
    };
    rules(requirement, version).map(|rules| rules.iter().map(keys).collect())
}

#[test]
fn one_of_two_is_one_rule_with_both_keys() {
    assert_eq!(shape(&requirement(1, &KEYS[..2]), NEW), Ok(vec![2]));
}

#[test]
fn two_of_three_is_the_conjunction_of_all_pairs() {
    assert_eq!(shape(&requirement(2, &KEYS), NEW), Ok(vec![2, 2, 2]));
}

#[test]
fn all_of_three_are_three_rules_that_old_versions_know() {
    assert_eq!(
        shape(&requirement(3, &KEYS), Feature::Keys.since()),
        Ok(vec![1, 1, 1])
    );
}

#[test]
fn several_keys_are_not_expressible_before_key_lists() {
    let old = Version::new(1, 31, 9);
    let rotation = format!("{}{}", KEYS[0], KEYS[1]);
    let limits = shape(&requirement(1, &[&rotation]), old).unwrap_err();
    assert_eq!((limits[0].field.as_str(), limits.len()), ("key", 1));
    assert_eq!(limits[0].authority.as_deref(), Some("a0"));
    assert!(limits[0].message.contains("CRI-O 1.31.9"), "{limits:?}");
    assert!(limits[0].message.contains("1.32.0 or later"), "{limits:?}");
    assert_eq!(
        shape(&requirement(1, &[&rotation]), Feature::KeyLists.since()),
        Ok(vec![2])
    );
}

#[test]
fn nothing_is_expressible_before_sigstore_signatures() {
    let old = Version::new(1, 24, 6);
    let limits = shape(&requirement(1, &KEYS[..1]), old).unwrap_err();
    assert_eq!(limits.len(), 1);
    assert!(limits[0].message.contains("1.25.0 or later"), "{limits:?}");
}

#[test]
fn a_name_that_would_break_the_whole_file_is_not_expressible() {
    let mut draft = draft("p", &["a.example"], &[]).requirement;
    draft.signed_identity = SignedIdentity::ExactRepository {
        repository: "[::1]:5000/app".to_owned(),
    };
    let limits = shape(&Requirement::try_from(draft).unwrap(), NEW).unwrap_err();
    assert_eq!(limits[0].field, "signedIdentity");
    assert!(limits[0].message.contains("no IPv6"), "{limits:?}");
}

#[test]
fn too_many_combinations_are_refused_with_their_number() {
    // Keys may be shared only where the threshold is 1, so count without building them.
    assert_eq!(binomial(16, 9), 11_440);
    assert_eq!(binomial(3, 2), 3);
    assert_eq!(subsets(&[1, 2, 3, 4], 2).len(), binomial(4, 2));
}

/// The one rule of a policy whose only authority is this one.
fn signed(authority: AuthorityDraft, roots: &TrustRoots) -> SigstoreSigned {
    let mut draft = draft("p", &["a.example"], &[]).requirement;
    draft.authorities = vec![authority];
    let requirement = Requirement::new(draft, roots).unwrap();
    match rules(&requirement, NEW).unwrap().remove(0) {
        Rule::SigstoreSigned(signed) => *signed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keyless_is_fulcio_with_all_certificates_of_its_chains_and_the_ecdsa_logs() {
    let root = public_good();
    let (reference, roots) = named(&root);
    let authority = keyless("a", &reference, "https://i.example", "a@example.com");
    let signed = signed(authority, &roots);
    let anchors = anchors(&root);
    assert_eq!(anchors.len(), 3);
    let log = root.p256_rekor_keys()[0];
    let fulcio = Fulcio {
        ca_path: None,
        ca_data: Some(pems(&anchors)),
        oidc_issuer: "https://i.example".to_owned(),
        subject_email: "a@example.com".to_owned(),
    };
    let wanted = SigstoreSigned {
        fulcio: Some(fulcio),
        rekor_public_key_data: Some(pem(log)),
        signed_identity: Some(Match::MatchRepository {}),
        ..SigstoreSigned::default()
    };
    assert_eq!(signed, wanted);
}

#[test]
fn a_certificate_is_pki_with_all_that_it_must_name() {
    let mut authority = certified("a", "a@example.com");
    let SignerDraft::Certificate {
        roots,
        intermediates,
        subject,
        ..
    } = &mut authority.signer
    else {
        panic!()
    };
    intermediates.clone_from(roots);
    subject.dns_name = Some("build.example.com".to_owned());
    let pki = signed(authority, &TrustRoots::new()).pki.unwrap();
    assert!(pki.ca_roots_data.is_some() && pki.ca_intermediates_data.is_some());
    assert_eq!(pki.subject_email.as_deref(), Some("a@example.com"));
    assert_eq!(pki.subject_hostname.as_deref(), Some("build.example.com"));
}

#[test]
fn several_log_keys_are_a_list_that_older_versions_do_not_know() {
    let root = public_good();
    let logs = [root.p256_rekor_keys()[0].to_pem(), KEYS[1].to_owned()];
    let fulcio = root.fulcio_roots()[0].to_pem();
    let root = Arc::new(TrustRoot::from_pem(Some(&fulcio), &logs, &[], None).unwrap());
    let (reference, roots) = named(&root);
    let mut logged = authority("a", KEYS[0]);
    if let SignerDraft::Key {
        transparency_log, ..
    } = &mut logged.signer
    {
        *transparency_log = Some(reference);
    }
    let datas = signed(logged.clone(), &roots)
        .rekor_public_key_datas
        .unwrap();
    assert_eq!(datas.len(), 2);
    let mut draft = draft("p", &["a.example"], &[]).requirement;
    draft.authorities = vec![logged];
    let requirement = Requirement::new(draft, &roots).unwrap();
    let limits = rules(&requirement, Version::new(1, 31, 0)).unwrap_err();
    assert_eq!(limits[0].field, "transparencyLog.trustRoot");
}

#[test]
fn a_trust_root_without_an_ecdsa_log_is_not_expressible() {
    let whole = public_good();
    let ed25519 = whole.other_rekor_logs()[0].key().to_pem();
    let fulcio = whole.fulcio_roots()[0].to_pem();
    let root = Arc::new(TrustRoot::from_pem(Some(&fulcio), &[ed25519], &[], None).unwrap());
    let (reference, roots) = named(&root);
    let mut draft = draft("p", &["a.example"], &[]).requirement;
    draft.authorities = vec![keyless(
        "a",
        &reference,
        "https://i.example",
        "a@example.com",
    )];
    let limits = rules(&Requirement::new(draft, &roots).unwrap(), NEW).unwrap_err();
    assert!(limits[0].message.contains("ECDSA"), "{limits:?}");
}

#[test]
fn what_fulcio_would_write_as_a_uri_is_no_e_mail_address() {
    for text in ["a@example.com", "a.b+c@example.com"] {
        assert!(is_email(text), "{text}");
    }
    for text in [
        "example.com",
        "@example.com",
        "a@",
        "https://x@example.com",
        "mailto:a@b.c",
        "a b@c.d",
    ] {
        assert!(!is_email(text), "{text}");
    }
}
