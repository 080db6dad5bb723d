//! What is told of signatures, in plain words.

use super::*;

#[test]
fn every_kind_of_authority_is_told_in_plain_words() {
    let mut draft = draft("p", &["a.example"], &[]);
    let rotation = format!("{}{}", KEYS[1], KEYS[2]);
    draft.requirement.authorities = vec![
        authority("a-key", KEYS[0]),
        keyless("b-ci", &ROOT.0, ISSUER, WORKFLOW),
        certified("c-pki", "build@corp.example"),
        authority("d-keys", &rotation),
    ];
    draft.requirement.threshold = 2;
    let explanation = of([made(draft)], "a.example/app:v1");
    let demand = &explanation.policies[0].demand;
    assert_eq!(demand.words, "2 of 4 authorities must have signed");
    assert_eq!(
        explanation.verdict.summary,
        "passes if: signed by 2 of `a-key`, `b-ci`, `c-pki`, `d-keys` (policy `p`)"
    );
    let words = |index: usize| demand.authorities[index].words.join("\n");
    assert!(
        words(0).starts_with("key ECDSA P-256 sha256:"),
        "{}",
        words(0)
    );
    assert_eq!(
        words(1),
        format!(
            "identity {WORKFLOW}, vouched for by {ISSUER}\ncertified, and logged, by the trust root `sigstore`"
        )
    );
    assert!(
        words(2).starts_with("a certificate for the e-mail address build@corp.example\nroot "),
        "{}",
        words(2)
    );
    assert!(words(2).contains(" sha256:"), "{}", words(2));
    assert!(
        words(3).starts_with("any one of 2 keys:\n- ECDSA P-256 sha256:"),
        "{}",
        words(3)
    );

    let json = serde_json::to_value(demand).unwrap();
    assert_eq!(
        json["authorities"][0]["key"]["keys"][0]["kind"],
        "ECDSA P-256"
    );
    let keyless = &json["authorities"][1]["keyless"];
    assert_eq!(keyless["identities"][0]["issuer"], ISSUER);
    assert_eq!(keyless["trustRoot"]["name"], "sigstore");
    let certificate = &json["authorities"][2]["certificate"];
    assert_eq!(certificate["subject"]["email"], "build@corp.example");
    assert!(
        certificate["roots"][0]["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
}

#[test]
fn expressions_claims_and_logs_are_told_too() {
    use crate::authority::{AuthorityDraft, SignerDraft};
    use crate::keyless::{IdentityDraft, PatternDraft};
    let mut draft = draft("p", &["a.example"], &[]);
    let identity = IdentityDraft {
        issuer: PatternDraft::Exact(ISSUER.to_owned()),
        subject: PatternDraft::RegExp("https://github\\.com/acme/.*".to_owned()),
        claims: [("runnerEnvironment".to_owned(), "github-hosted".to_owned())].into(),
    };
    let ci = SignerDraft::Keyless {
        trust_root: ROOT.0.clone(),
        identities: vec![identity],
    };
    let key = SignerDraft::Key {
        keys: KEYS[0].to_owned(),
        transparency_log: Some(ROOT.0.clone()),
    };
    let named = |name: &str, signer| AuthorityDraft {
        name: name.to_owned(),
        signer,
    };
    draft.requirement.authorities = vec![named("ci", ci), named("key", key)];
    let explanation = of([made(draft)], "a.example/app:v1");
    let demand = &explanation.policies[0].demand;
    assert_eq!(demand.words, "one of 2 authorities must have signed");
    assert_eq!(
        demand.authorities[0].words[0],
        format!(
            "identity like https://github\\.com/acme/.*, vouched for by {ISSUER}, with runnerEnvironment=github-hosted"
        )
    );
    assert_eq!(
        demand.authorities[1].words[1],
        "with an entry in a transparency log of the trust root `sigstore`"
    );
    let json = serde_json::to_value(demand).unwrap();
    let identity = &json["authorities"][0]["keyless"]["identities"][0];
    assert_eq!(identity["subjectRegExp"], "https://github\\.com/acme/.*");
    assert_eq!(identity["subject"], serde_json::Value::Null);
    assert_eq!(identity["claims"]["runnerEnvironment"], "github-hosted");
    assert_eq!(
        json["authorities"][1]["key"]["transparencyLog"]["name"],
        "sigstore"
    );
}

#[test]
fn the_name_that_is_told_is_one_that_a_signature_may_carry() {
    let digest = crate::digest::Digest::of(b"x");
    let remapped = SignedIdentity::RemapIdentity {
        prefix: "a.example/mirror".to_owned(),
        signed_prefix: "b.example".to_owned(),
    };
    let exact = SignedIdentity::ExactRepository {
        repository: "b.example/app".to_owned(),
    };
    let any = |unnamed| SignedIdentity::MatchRepository { unnamed };
    for (identity, image, named, wanted) in [
        (
            any(UnnamedSignatures::Accept),
            "a.example/app:v1",
            "a.example/app",
            "a.example/app, with any tag or none; one that names only the digest passes",
        ),
        (
            any(UnnamedSignatures::Refuse),
            "a.example/app:v1",
            "a.example/app:v2",
            "a.example/app, with any tag or none; one that names only the digest is refused",
        ),
        (
            exact,
            "a.example/app:v1",
            "b.example/app",
            "b.example/app, with any tag or none",
        ),
        (
            SignedIdentity::MatchRepoDigestOrExact,
            "a.example/app:v1",
            "a.example/app:v1",
            "a.example/app:v1, with this tag",
        ),
        (
            SignedIdentity::MatchRepoDigestOrExact,
            &format!("a.example/app@{digest}"),
            "a.example/app:v1",
            "a.example/app, with a tag or digest",
        ),
        (
            remapped.clone(),
            "a.example/mirror/app:v1",
            "b.example/app:v1",
            "b.example/app:v1, with this tag",
        ),
        (
            remapped,
            "a.example/mirrored/app:v1",
            "a.example/mirrored/app:v1",
            "a.example/mirrored/app:v1, with this tag",
        ),
    ] {
        let mut draft = draft("p", &["a.example"], &[]);
        draft.requirement.signed_identity = identity.clone();
        let explanation = of([made(draft)], image);
        let words = &explanation.policies[0].demand.identity_words;
        assert_eq!(words, &format!("the signature must name {wanted}"));
        let image = Reference::parse(image).unwrap();
        assert_eq!(identity.accepts(&image, Some(named)), Ok(()), "{named}");
    }
}
