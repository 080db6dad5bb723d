//! Every way in which an authority can be wrong.

use super::*;
use policy::authority::Signer;

pub(super) const ID: &str = "spec.authorities[0]";

pub(super) fn identity() -> Value {
    json!({ "issuer": "https://issuer.example.com", "subject": "a@example.com" })
}

pub(super) fn keyless(identities: &Value) -> Value {
    json!({ "name": "a", "keyless": { "identities": identities } })
}

fn certificate(roots: &str, rest: &Value) -> Value {
    let mut certificate = json!({ "roots": roots, "subject": { "email": "a@example.com" } });
    for (name, value) in rest.as_object().unwrap() {
        certificate[name] = value.clone();
    }
    json!({ "name": "a", "certificate": certificate })
}

pub(super) fn ready() -> Cluster {
    roots([("sigstore", Ok(trusted())), ("other", Ok(trusted()))])
}

fn made(authority: &Value, store: &Cluster) -> Policy {
    cluster(&cluster_policy(spec(authority)), store).unwrap()
}

pub(super) fn said(authority: &Value, store: &Cluster) -> Vec<String> {
    described(cluster(&cluster_policy(spec(authority)), store))
}

#[test]
fn keyless_authorities_carry_their_trust_root() {
    let policy = made(&keyless(&json!([identity()])), &ready());
    let roots: Vec<_> = policy.trust_roots().collect();
    assert_eq!((roots.len(), roots[0].name()), (1, "sigstore"));
    assert_eq!(roots[0].reference().digest, trusted().digest());
    // A log of the same root is demanded anyway.
    let mut same = keyless(&json!([identity()]));
    same["transparencyLog"] = json!({});
    assert_eq!(made(&same, &ready()).digest(), policy.digest());
}

#[test]
fn identities_keep_what_they_compare_and_how() {
    let identities = json!([{
        "issuerRegExp": "https://[a-z]+\\.example\\.com",
        "subjectRegExp": ".*@example\\.com",
        "claims": { "sourceRepositoryURI": "https://github.com/acme/app" },
    }]);
    let policy = made(&keyless(&identities), &ready());
    let Signer::Keyless(signer) = policy.requirement().authorities()[0].signer() else {
        panic!("{policy:?}");
    };
    let identity = &signer.identities()[0];
    assert!(!identity.issuer().is_exact() && !identity.subject().is_exact());
    assert!(identity.subject().matches("b@example.com"));
    assert_eq!(identity.claims().len(), 1);
}

#[test]
fn keys_and_certificates_may_demand_a_log() {
    let mut key = json!({ "name": "a", "key": { "data": KEY } });
    key["transparencyLog"] = json!({ "trustRoot": "other" });
    assert_eq!(
        made(&key, &ready()).trust_roots().next().unwrap().name(),
        "other"
    );
    let mut certificate = certificate(ROOT, &json!({ "subject": { "dnsName": "a.example" } }));
    assert_eq!(made(&certificate, &ready()).trust_roots().count(), 0);
    certificate["transparencyLog"] = json!({});
    let policy = made(&certificate, &ready());
    assert_eq!(policy.trust_roots().next().unwrap().name(), "sigstore");
}

#[test]
fn a_trust_root_that_is_missing_or_not_ready_is_said_at_the_name() {
    let ours = keyless(&json!([identity()]));
    let [missing] = &said(&ours, &Cluster::default())[..] else {
        panic!("one problem is expected");
    };
    let expected = format!("NotFound {ID}.keyless.trustRoot: there is no TrustRoot `sigstore`");
    assert!(missing.starts_with(&expected), "{missing}");
    assert!(
        missing.contains("public-good trusted_root.json"),
        "{missing}"
    );

    let mut key = json!({ "name": "a", "key": { "data": KEY } });
    key["transparencyLog"] = json!({ "trustRoot": "corp" });
    assert_eq!(
        said(&key, &Cluster::default()),
        [format!(
            "NotFound {ID}.transparencyLog.trustRoot: there is no TrustRoot `corp`: create it, or correct the name"
        )]
    );
    let why = RootUnavailable::NotReady("see its conditions".into());
    assert_eq!(
        said(&ours, &roots([("sigstore", Err(why))])),
        [format!(
            "TrustRootNotReady {ID}.keyless.trustRoot: the TrustRoot `sigstore` is not ready: see its conditions"
        )]
    );
}

#[test]
fn a_trust_root_without_what_is_needed_is_not_ready() {
    let logs = TrustRoot::from_pem(None, &[KEY.to_owned()], &[], None).unwrap();
    let authorities = TrustRoot::from_pem(Some(ROOT), &[], &[], None).unwrap();
    let ours = keyless(&json!([identity()]));
    for (root, lacks) in [
        (logs, "certificate authority"),
        (authorities, "transparency log"),
    ] {
        let said = said(&ours, &roots([("sigstore", Ok(root))]));
        let expected = format!("TrustRootNotReady {ID}.keyless.trustRoot: ");
        assert!(
            said[0].starts_with(&expected) && said[0].contains(lacks),
            "{said:?}"
        );
    }
}

#[test]
fn keyless_with_the_log_of_another_root_is_refused() {
    let mut authority = keyless(&json!([identity()]));
    authority["transparencyLog"] = json!({ "trustRoot": "other" });
    assert_eq!(
        said(&authority, &ready()),
        [format!(
            "Invalid {ID}.transparencyLog: keyless always demands an entry in a log of its own trustRoot, `sigstore`: remove transparencyLog"
        )]
    );
}

#[test]
fn every_wrong_certificate_is_said_at_its_field() {
    let private = "-----BEGIN PRIVATE KEY-----\nbmV2ZXI=\n-----END PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nbmV2ZXI=\n-----END CERTIFICATE-----\n";
    let request = garbage.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    for (roots, rest, field, reason) in [
        ("", json!({}), "roots", "InvalidCertificate"),
        ("text", json!({}), "roots", "InvalidCertificate"),
        (KEY, json!({}), "roots", "InvalidCertificate"),
        (LEAF, json!({}), "roots", "InvalidCertificate"),
        (garbage, json!({}), "roots", "InvalidCertificate"),
        (&request, json!({}), "roots", "InvalidCertificate"),
        (private, json!({}), "roots", "InvalidKey"),
        (
            &format!("{ROOT}{private}"),
            json!({}),
            "roots",
            "InvalidKey",
        ),
        (
            &format!("{garbage}{private}"),
            json!({}),
            "roots",
            "InvalidKey",
        ),
        (
            &format!("{ROOT}{ROOT}"),
            json!({}),
            "roots",
            "InvalidCertificate",
        ),
        (
            ROOT,
            json!({ "intermediates": LEAF }),
            "intermediates",
            "InvalidCertificate",
        ),
        (
            ROOT,
            json!({ "intermediates": private }),
            "intermediates",
            "InvalidKey",
        ),
        (ROOT, json!({ "subject": {} }), "subject", "Invalid"),
        (
            ROOT,
            json!({ "subject": { "email": "" } }),
            "subject",
            "Invalid",
        ),
        (
            ROOT,
            json!({ "subject": { "email": "a@b", "dnsName": "" } }),
            "subject",
            "Invalid",
        ),
    ] {
        let said = said(&certificate(roots, &rest), &Cluster::default());
        let expected = format!("{reason} {ID}.certificate.{field}: ");
        assert!(
            said.len() == 1 && said[0].starts_with(&expected),
            "{field}: {said:?}"
        );
        assert!(!said[0].contains("bmV2ZXI"), "{said:?}");
    }
}

#[test]
fn an_authority_of_no_kind_or_of_several_is_refused_and_the_others_are_checked() {
    let mut both = keyless(&json!([identity()]));
    both["certificate"] = certificate(ROOT, &json!({}))["certificate"].clone();
    let mut whole = spec(&both);
    whole["authorities"] =
        json!([both, { "name": "b" }, { "name": "c", "key": { "data": "text" } }]);
    let said = described(cluster(&cluster_policy(whole), &ready()));
    assert_eq!(said.len(), 3, "{said:?}");
    for (said, expected) in said.iter().zip([
        "Invalid spec.authorities[0]: an authority has exactly one of key, keyless and certificate: ",
        "Invalid spec.authorities[1]: ",
        "InvalidKey spec.authorities[2].key.data: ",
    ]) {
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn with_a_threshold_no_two_authorities_may_be_one_signer() {
    let pair = |one: Value, mut two: Value| {
        two["name"] = "b".into();
        let mut whole = spec(&one);
        whole["authorities"] = json!([one, two]);
        whole["threshold"] = json!(2);
        described(cluster(&cluster_policy(whole), &ready()))
    };
    let ours = keyless(&json!([identity()]));
    let people = json!([{ "issuer": "https://other.example.com", "subject": "b" }, {
        "issuerRegExp": "https://.*\\.example\\.com", "subjectRegExp": ".*@example\\.com",
    }]);
    let pki = certificate(ROOT, &json!({}));
    let key = |data: &str| json!({ "name": "a", "key": { "data": data } });
    for (said, expected) in [
        (
            pair(ours, keyless(&people)),
            "Invalid spec.authorities[1].keyless.identities[1]: ",
        ),
        (
            pair(pki.clone(), pki),
            "InvalidCertificate spec.authorities[1].certificate.subject: ",
        ),
        (
            pair(key(KEY), key(&format!("{OTHER_KEY}{KEY}"))),
            "InvalidKey spec.authorities[1].key.data: ",
        ),
    ] {
        assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    }
}
