//! Trust roots that cannot be used, and those that could be once.

use crds::types::TufSource;

use super::*;

/// Every way to be unusable, with the reason and a word of the message.
fn unusable() -> Vec<(
    Result<TrustRootSpec, String>,
    Fetched,
    &'static str,
    &'static str,
)> {
    let pem = |text: &str| Some(text.to_owned());
    let garbage = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let no_key = Fetched::Found(Found {
        values: [("trusted_root.json".to_owned(), None)].into(),
        known: vec!["root.json".to_owned()],
    });
    let good = || found(PUBLIC_GOOD);
    let from_map = || Ok(in_config_map());
    vec![
        (
            Ok(inline("{")),
            good(),
            "Invalid",
            "spec.trustedRoot.data: ",
        ),
        (
            from_map(),
            found("{}"),
            "Invalid",
            "spec.trustedRoot.configMapKeyRef: ConfigMap trust/roots",
        ),
        (
            from_map(),
            Fetched::Missing,
            "NotFound",
            "there is no ConfigMap trust/roots",
        ),
        (from_map(), no_key, "NotFound", "root.json"),
        (from_map(), Fetched::Forbidden, "NotPermitted", "may not be"),
        (
            Ok(with_keys(TrustRootKeys {
                fulcio: pem(garbage),
                ..TrustRootKeys::default()
            })),
            good(),
            "InvalidCertificate",
            "spec.keys.fulcio: ",
        ),
        (
            Ok(with_keys(TrustRootKeys {
                rekor: vec![KEY.to_owned(), "garbage".to_owned()],
                ..TrustRootKeys::default()
            })),
            good(),
            "InvalidKey",
            "spec.keys.rekor[1]: ",
        ),
        (
            Ok(TrustRootSpec {
                tuf: Some(TufSource {
                    root_json: Some(r#"{"signed":{"_type":"root"}}"#.to_owned()),
                    ..TufSource::default()
                }),
                ..TrustRootSpec::default()
            }),
            good(),
            "Invalid",
            "spec.tuf.rootJSON: ",
        ),
        (
            Ok(TrustRootSpec {
                tuf: Some(TufSource {
                    mirror: Some("http://tuf.example".to_owned()),
                    ..TufSource::default()
                }),
                ..TrustRootSpec::default()
            }),
            good(),
            "Invalid",
            "spec.tuf.mirror: ",
        ),
        (
            Err("unknown field `x`".to_owned()),
            good(),
            "Invalid",
            "older than the API? unknown field `x`",
        ),
    ]
}

#[test]
fn what_makes_a_trust_root_unusable_is_said_on_it_and_on_its_policies() {
    for (spec, fetched, reason, word) in unusable() {
        let (mut world, id) = (World::new(), cluster("p"));
        world.join("a", &[]);
        world.apply_root_or("sigstore", spec);
        world.source(&source(), fetched);
        world.apply_policy(&id, keyless("registry.example/team", "sigstore"));
        world.later();
        let ready = world.root_condition("sigstore", "Ready");
        assert_eq!(ready, format!("False {reason}"));
        let stalled = world.root_condition("sigstore", "Stalled");
        assert_eq!(stalled, format!("True {reason}"));
        let message = world.root_message("sigstore");
        assert!(
            message.contains(word) && message.contains("nothing of it is in force"),
            "{message}"
        );
        let status = &world.trust_roots["sigstore"].status;
        assert_eq!((&status.digest, &status.earliest_expiry), (&None, &None));
        assert_eq!(world.condition(&id, "Accepted"), "True Valid");
        let resolved = world.condition(&id, "Resolved");
        assert_eq!(resolved, "False TrustRootNotReady");
        assert_eq!(world.condition(&id, "Stalled"), "True TrustRootNotReady");
        let message = world.message(&id, "Resolved");
        assert!(
            message.contains(word) && message.contains("enforces nothing"),
            "{message}"
        );
        assert_eq!(world.on("a"), [""; 0]);
    }
}

#[test]
fn a_trust_root_that_is_no_more_stays_in_force_and_says_so() {
    for (spec, fetched, reason, word) in unusable() {
        let (mut world, id) = running();
        let (before, policy) = (
            world.trust_roots["sigstore"].status.clone(),
            world.policies[&id].status.digest.clone(),
        );
        world.apply_root_or("sigstore", spec);
        world.source(&source(), fetched);
        assert_eq!(kinds(&world.later()), ["root sigstore", "status p"]);
        let ready = world.root_condition("sigstore", "Ready");
        assert_eq!(ready, format!("False {reason}"));
        let message = world.root_message("sigstore");
        assert!(
            message.contains(word) && message.contains("last valid content stays in force"),
            "{message}"
        );
        let status = &world.trust_roots["sigstore"].status;
        assert_eq!(status.digest, before.digest);
        assert_eq!(status.transparency_logs, before.transparency_logs);
        assert_eq!(status.earliest_expiry, before.earliest_expiry);

        assert_eq!(world.condition(&id, "Resolved"), "False TrustRootNotReady");
        assert_eq!(world.condition(&id, "Stalled"), "True TrustRootNotReady");
        let message = world.message(&id, "Resolved");
        assert!(
            message.contains("the TrustRoot `sigstore` is not ready: ")
                && message.contains("last valid form stays in force"),
            "{message}"
        );
        assert_eq!(world.policies[&id].status.digest, policy);
        assert_eq!(world.on("a"), ["p"]);
        // A new process finds the content in the bundle.
        world.restart();
        assert_eq!(world.later(), []);
        assert_eq!(world.bundle_of("a").trust_roots().len(), 1);

        world.apply_root("sigstore", in_config_map());
        world.source(&source(), found(PUBLIC_GOOD));
        let writes = kinds(&world.later());
        assert_eq!(writes, ["root sigstore", "status p"], "no node changes");
        assert_eq!(world.root_condition("sigstore", "Ready"), "True Resolved");
        assert_eq!(world.root_condition("sigstore", "Stalled"), "");
        assert_eq!(world.condition(&id, "Ready"), "True Ready");
    }
}

#[test]
fn a_deleted_trust_root_stays_in_force_and_its_policies_say_so() {
    let (mut world, id) = running();
    let digest = world.policies[&id].status.digest.clone();
    world.delete_root("sigstore");
    assert_eq!(kinds(&world.later()), ["status p"]);
    assert_eq!(world.condition(&id, "Resolved"), "False NotFound");
    assert_eq!(world.condition(&id, "Stalled"), "True NotFound");
    let message = world.message(&id, "Resolved");
    assert!(
        message.contains("there is no TrustRoot `sigstore`")
            && message.contains("last valid form stays in force"),
        "{message}"
    );
    assert_eq!(world.policies[&id].status.digest, digest);
    assert!(world.index.wanted().is_empty(), "its ConfigMap neither");
    world.restart();
    assert_eq!(world.later(), []);
    assert_eq!(world.on("a"), ["p"]);
    // Another object of that name has another content.
    world.apply_root("sigstore", inline(&other_root()));
    let writes = kinds(&world.settle());
    assert_eq!(writes, ["create", "root sigstore", "status p", "set a"]);
    assert_eq!(world.condition(&id, "Resolved"), "True Resolved");
    assert_ne!(world.policies[&id].status.digest, digest);
}

#[test]
fn a_trust_root_that_cannot_be_read_just_now_is_no_answer() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_root("sigstore", in_config_map());
    let failed = || Fetched::Unreadable("timed out".to_owned());
    world.source(&source(), failed());
    world.apply_policy(&id, keyless("registry.example/team", "sigstore"));
    world.later();
    assert_eq!(world.root_condition("sigstore", "Ready"), "Unknown NotRead");
    let reconciling = world.root_condition("sigstore", "Reconciling");
    assert_eq!(reconciling, "True NotRead");
    assert_eq!(world.root_condition("sigstore", "Stalled"), "");
    assert_eq!(world.condition(&id, "Resolved"), "Unknown NotRead");
    assert_eq!(world.condition(&id, "Stalled"), "");
    world.source(&source(), found(PUBLIC_GOOD));
    world.settle();
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    world.source(&source(), failed());
    assert_eq!(world.later(), []);
}
