//! Trust roots: where they come from, and who uses them.

mod lost;

use crds::convert::Holder;
use crds::types::{KeyRef, TrustRootKeys, TrustRootSpec, TrustedRootSource};
use jiff::{SignedDuration, Timestamp};
use policy::model::PolicyId;
use policy::trust::TrustRoot;
use serde_json::{Value, json};
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT as PUBLIC_GOOD;

use super::world::{KEY, World, cluster, kinds, spec};
use crate::index::{Fetched, Found, Source, SpecObject};

fn source() -> Source {
    Source {
        holder: Holder::ConfigMap,
        namespace: "trust".to_owned(),
        name: "roots".to_owned(),
    }
}

fn inline(json: &str) -> TrustRootSpec {
    let trusted_root = TrustedRootSource {
        data: Some(json.to_owned()),
        config_map_key_ref: None,
    };
    TrustRootSpec {
        trusted_root: Some(trusted_root),
        ..TrustRootSpec::default()
    }
}

fn in_config_map() -> TrustRootSpec {
    let key_ref = KeyRef {
        name: source().name,
        key: "trusted_root.json".to_owned(),
        namespace: Some(source().namespace),
    };
    let trusted_root = TrustedRootSource {
        data: None,
        config_map_key_ref: Some(key_ref),
    };
    TrustRootSpec {
        trusted_root: Some(trusted_root),
        ..TrustRootSpec::default()
    }
}

fn with_keys(keys: TrustRootKeys) -> TrustRootSpec {
    TrustRootSpec {
        keys: Some(keys),
        ..TrustRootSpec::default()
    }
}

fn found(json: &str) -> Fetched {
    let key = || "trusted_root.json".to_owned();
    Fetched::Found(Found {
        values: [(key(), Some(Ok(json.to_owned())))].into(),
        known: vec![key()],
    })
}

/// The public-good root with one change.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_str(PUBLIC_GOOD).unwrap();
    change(&mut value);
    serde_json::to_string(&value).unwrap()
}

/// The public-good root without its first certificate authority.
fn other_root() -> String {
    changed(|root| {
        let authorities = &mut root["certificateAuthorities"];
        authorities.as_array_mut().unwrap().remove(0);
    })
}

fn digest(json: &str) -> String {
    let root = TrustRoot::from_trusted_root_json(json).unwrap().root;
    root.digest().to_string()
}

/// A policy with one keyless authority.
fn keyless(scope: &str, root: &str) -> SpecObject {
    let mut spec = spec(scope);
    spec.policy.authorities[0] = serde_json::from_value(json!({
        "name": "ci",
        "keyless": {
            "trustRoot": root,
            "identities": [{ "issuer": "https://i.example", "subject": "a@b.example" }],
        },
    }))
    .unwrap();
    spec
}

/// A policy that a node runs, with a trust root in a `ConfigMap`.
fn running() -> (World, PolicyId) {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_root("sigstore", in_config_map());
    world.source(&source(), found(PUBLIC_GOOD));
    world.apply_policy(&id, keyless("registry.example/team", "sigstore"));
    world.settle();
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(world.root_condition("sigstore", "Ready"), "True Resolved");
    (world, id)
}

#[test]
fn a_trust_root_goes_to_the_nodes_with_the_policies_that_use_it() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_root("sigstore", inline(PUBLIC_GOOD));
    world.apply_policy(&id, keyless("registry.example/team", "sigstore"));
    let writes = world.settle();
    assert_eq!(
        kinds(&writes),
        ["create", "root sigstore", "status p", "set a"]
    );
    assert_eq!(world.condition(&id, "Accepted"), "True Valid");
    assert_eq!(world.condition(&id, "Resolved"), "True Resolved");
    let roots = world.bundle_of("a").trust_roots();
    let digests: Vec<String> = roots.keys().map(ToString::to_string).collect();
    assert_eq!(digests, [digest(PUBLIC_GOOD)]);

    let status = &world.trust_roots["sigstore"].status;
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.digest, Some(digest(PUBLIC_GOOD)));
    assert_eq!(status.certificate_authorities, Some(2));
    assert_eq!(status.transparency_logs, Some(2));
    assert_eq!(status.timestamp_authorities, Some(1));
    assert!(status.earliest_expiry.is_some() && status.last_refresh.is_none());
    let kinds_of: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(kinds_of, ["Ready"], "neither of the kstatus pair");
    assert_eq!(world.root_condition("sigstore", "Ready"), "True Resolved");

    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    world.resync();
    assert_eq!(world.later(), []);
    world.restart();
    assert_eq!(world.later(), []);
}

#[test]
fn nothing_is_written_before_the_config_map_of_a_trust_root_was_looked_at() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_root("sigstore", in_config_map());
    world.apply_policy(&id, keyless("registry.example/team", "sigstore"));
    world.restart();
    assert!(!world.index.is_synced());
    assert_eq!(world.ask(), []);
    let wanted = world.index.wanted();
    assert_eq!(wanted[&source()], ["trusted_root.json".to_owned()].into());
    world.source(&source(), found(PUBLIC_GOOD));
    assert_eq!(kinds(&world.ask()), ["create", "root sigstore", "status p"]);
}

#[test]
fn a_trust_root_that_comes_late_is_waited_for_and_not_mistaken_for_missing() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_policy(&id, keyless("registry.example/team", "sigstore"));
    world.later();
    assert_eq!(world.condition(&id, "Resolved"), "False NotFound");
    assert_eq!(world.condition(&id, "Stalled"), "True NotFound");
    let message = world.message(&id, "Resolved");
    assert!(
        message.starts_with("spec.authorities[0].keyless.trustRoot: ")
            && message.contains("enforces nothing"),
        "{message}"
    );
    // Not looked at: nothing is said of either.
    world.apply_root("sigstore", in_config_map());
    assert_eq!(world.later(), []);
    world.source(&source(), found(PUBLIC_GOOD));
    world.later();
    assert_eq!(world.condition(&id, "Resolved"), "True Resolved");
    assert_eq!(world.on("a"), ["p"]);
}

#[test]
fn a_changed_trust_root_changes_the_policies_that_use_it_and_no_others() {
    let mut world = World::new();
    world.join("a", &[]);
    world.apply_root("one", inline(PUBLIC_GOOD));
    world.apply_root("two", inline(PUBLIC_GOOD));
    let (uses, other, plain) = (cluster("uses"), cluster("other"), cluster("plain"));
    world.apply_policy(&uses, keyless("a.example", "one"));
    world.apply_policy(&other, keyless("b.example", "two"));
    world.apply_policy(&plain, spec("c.example"));
    let logged = cluster("logged");
    let mut with_log = spec("d.example");
    with_log.policy.authorities[0].transparency_log = Some(crds::types::TransparencyLog {
        trust_root: "one".to_owned(),
    });
    world.apply_policy(&logged, with_log);
    world.settle();
    world.agents_apply();
    world.later();
    let digests = |world: &World| {
        [&uses, &logged, &other, &plain].map(|id| world.policies[id].status.digest.clone().unwrap())
    };
    let before = digests(&world);

    // The same content in other words.
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(PUBLIC_GOOD).unwrap());
    world.apply_root("one", inline(&pretty.unwrap()));
    assert_eq!(kinds(&world.later()), ["root one"], "observedGeneration");

    world.apply_root("one", inline(&other_root()));
    assert_eq!(
        kinds(&world.settle()),
        [
            "create",
            "root one",
            "status logged",
            "status uses",
            "set a"
        ]
    );
    let after = digests(&world);
    assert_ne!((&before[0], &before[1]), (&after[0], &after[1]));
    assert_eq!((&before[2], &before[3]), (&after[2], &after[3]));
    assert_eq!(world.bundle_of("a").trust_roots().len(), 2);
    world.agents_apply();
    world.later();
    for id in [&uses, &logged, &other, &plain] {
        assert_eq!(world.condition(id, "Ready"), "True Ready");
    }
}

#[test]
fn a_trust_root_without_what_a_policy_needs_is_not_ready_for_it() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_root(
        "logs",
        with_keys(TrustRootKeys {
            rekor: vec![KEY.to_owned()],
            ..TrustRootKeys::default()
        }),
    );
    world.apply_policy(&id, keyless("registry.example/team", "logs"));
    world.later();
    assert_eq!(world.root_condition("logs", "Ready"), "True Resolved");
    let status = &world.trust_roots["logs"].status;
    assert_eq!(status.certificate_authorities, Some(0));
    assert_eq!(status.transparency_logs, Some(1));
    assert_eq!(status.earliest_expiry, None, "PEM keys have no end");
    assert_eq!(world.condition(&id, "Resolved"), "False TrustRootNotReady");
    let message = world.message(&id, "Resolved");
    assert!(message.contains("no certificate authority"), "{message}");
}

#[test]
fn what_was_left_out_of_a_trust_root_is_named() {
    let mut world = World::new();
    let partly = changed(|root| root["tlogs"][1]["hashAlgorithm"] = "SHA2_512".into());
    world.apply_root("sigstore", inline(&partly));
    world.later();
    assert_eq!(world.root_condition("sigstore", "Ready"), "True Resolved");
    let message = world.root_message("sigstore");
    assert!(message.contains("; left out: tlogs[1]: "), "{message}");
    assert_eq!(
        world.trust_roots["sigstore"].status.transparency_logs,
        Some(1)
    );
}

#[test]
fn the_next_expiry_follows_the_clock() {
    let mut world = World::new();
    world.apply_root("sigstore", inline(PUBLIC_GOOD));
    world.later();
    let shown = |world: &World| {
        let status = &world.trust_roots["sigstore"].status;
        status.earliest_expiry.as_ref().unwrap().0
    };
    let root = TrustRoot::from_trusted_root_json(PUBLIC_GOOD).unwrap().root;
    let past = Timestamp::from_second(root.earliest_expiry().unwrap()).unwrap();
    assert!(past < world.now, "the public-good root has ended windows");
    let next = shown(&world);
    assert!(next > world.now);
    // Two weeks before it is told, in a condition and in an event.
    let soon = next - SignedDuration::from_hours(14 * 24);
    assert_eq!(world.index.deadline(world.now), Some(soon));
    assert_eq!(world.root_condition("sigstore", "Expiring"), "");
    world.now = soon;
    let writes = kinds(&world.later());
    assert_eq!(writes, ["root sigstore", "TrustRootExpiring sigstore"]);
    assert_eq!(
        world.root_condition("sigstore", "Expiring"),
        "True Expiring"
    );
    assert_eq!(world.root_condition("sigstore", "Ready"), "True Resolved");
    world.restart();
    world.later();
    assert_eq!(world.events.len(), 1, "a new process finds it told");
    world.now = next;
    assert_eq!(kinds(&world.later()), ["root sigstore"]);
    assert_eq!(world.root_condition("sigstore", "Expiring"), "");
    assert!(shown(&world) > next);
    // Where everything has ended, the first of it is named.
    world.now = Timestamp::from_second(root.expiries().last().unwrap().1).unwrap();
    assert_eq!(kinds(&world.later()), ["root sigstore"]);
    assert_eq!(shown(&world), past);
    world.restart();
    assert_eq!(world.later(), []);
}

#[test]
fn a_content_that_no_policy_has_is_not_in_force_once_it_is_gone() {
    let mut world = World::new();
    world.join("a", &[]);
    world.apply_root("sigstore", inline(PUBLIC_GOOD));
    world.later();
    world.apply_root("sigstore", inline("{"));
    world.later();
    assert_eq!(world.trust_roots["sigstore"].status.digest, None);
    world.restart();
    assert_eq!(world.later(), [], "nothing that a new process cannot know");
}
