//! Regular expressions, which take long to compile.

use crds::types::{TrustRootSpec, TrustedRootSource};
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT as PUBLIC_GOOD;

use super::tenants::{limits, roll_out, with_crio};
use super::world::{kinds, namespaced, spec};
use crate::index::{SpecObject, Write};

/// A policy with so many expressions.
fn costly(number: usize, expressions: usize) -> SpecObject {
    let identity = |index: usize| {
        serde_json::json!({
            "issuer": "https://i.example", "subjectRegExp": format!("s{number}-{index}-.+x"),
        })
    };
    let authority = |first: usize| {
        let identities = (first..expressions.min(first + 16)).map(identity);
        serde_json::json!({
            "name": format!("a{first}"),
            "keyless": { "trustRoot": "sigstore", "identities": identities.collect::<Vec<_>>() },
        })
    };
    let mut spec = spec("tenant.example");
    let authorities = (0..expressions).step_by(16).map(authority).collect();
    spec.policy.authorities = serde_json::from_value(authorities).unwrap();
    spec
}

/// How many policies of namespaces that begin with this word are told about.
fn told(writes: &[Write], word: &str) -> usize {
    let kinds = kinds(writes).into_iter();
    kinds.filter(|kind| kind.starts_with(word)).count()
}

#[test]
fn a_new_process_compiles_a_few_expressions_of_a_namespace_at_a_time_too() {
    let (mut world, id) = with_crio();
    let kept = namespaced("busy", "z");
    world.apply_policy(&kept, spec("kept.example"));
    roll_out(&mut world);
    for number in 0..5 {
        let id = namespaced("busy", &format!("p{number}"));
        world.apply_policy(&id, costly(number, 16));
    }
    world.apply_policy(&kept, costly(5, 16));
    world.apply_policy(&id, spec("registry.example/new"));
    world.restart();
    let mut rounds = Vec::new();
    for round in 0..3 {
        let writes = world.ask();
        if round == 0 {
            assert_eq!(
                told(&writes, "status p"),
                1,
                "those of the cluster do not wait"
            );
        }
        rounds.push(told(&writes, "status busy"));
        for write in &writes {
            world.perform(write);
        }
        assert_eq!(world.index.is_behind(), round < 2);
        assert!(world.on("a").contains(&"busy/z".to_owned()), "it is kept");
    }
    assert_eq!(rounds, [2, 2, 2]);
}

#[test]
fn of_all_namespaces_together_only_so_many_expressions_are_compiled_at_once() {
    for anew in [true, false] {
        let (mut world, _) = with_crio();
        roll_out(&mut world);
        // 32 a namespace, and 512 in all: 16 namespaces in a round, and the next ones then.
        for number in 0..40 {
            let id = namespaced(&format!("tenant-{number:02}"), "p");
            world.apply_policy(&id, costly(number, 32));
        }
        if anew {
            world.restart();
        }
        let mut rounds = Vec::new();
        for number in 0..4 {
            // The first of them are changed all the time, which keeps none of the others waiting.
            let writes = world.ask();
            rounds.push(told(&writes, "status tenant"));
            for write in &writes {
                world.perform(write);
            }
            for first in 0..16 {
                let id = namespaced(&format!("tenant-{first:02}"), "p");
                world.apply_policy(&id, costly(100 * (number + 1) + first, 32));
            }
        }
        assert_eq!(rounds, [16, 16, 8, 16]);
    }
}

#[test]
fn where_what_nodes_have_cannot_be_read_no_policy_of_theirs_waits_to_be_compiled() {
    let (mut world, _) = with_crio();
    let trusted_root = TrustedRootSource {
        data: Some(PUBLIC_GOOD.to_owned()),
        config_map_key_ref: None,
    };
    let root = TrustRootSpec {
        trusted_root: Some(trusted_root),
        ..TrustRootSpec::default()
    };
    world.apply_root("sigstore", root);
    for number in 0..4 {
        let id = namespaced("busy", &format!("p{number}"));
        world.apply_policy(&id, costly(number, 16));
    }
    roll_out(&mut world);
    world.later();
    assert_eq!(world.on("a").len(), 5);
    for object in world.bundles.values_mut() {
        object.content = Err("of another version".to_owned());
    }
    world.restart();
    world.ask();
    assert!(!world.index.is_behind());
}

#[test]
fn of_a_namespace_only_so_many_expressions_are_compiled_at_once() {
    let (mut world, id) = with_crio();
    world.configure(limits(20, &[]));
    roll_out(&mut world);
    let policy = |namespace: &str, number: usize| namespaced(namespace, &format!("p{number}"));
    for number in 0..6 {
        world.apply_policy(&policy("busy", number), costly(number, 16));
    }
    let other = namespaced("other", "p");
    world.apply_policy(&other, spec("other.example"));
    world.apply_policy(&id, spec("registry.example/new"));
    let writes = world.ask();
    let all = kinds(&writes);
    for other in ["status other/p", "status p"] {
        assert!(all.contains(&other.to_owned()), "{all:?}");
    }
    assert_eq!(told(&writes, "status busy"), 2, "twice 16 in a round");
    assert_eq!(
        world.index.deadline(world.now),
        Some(world.now),
        "soon again"
    );
    assert_eq!(told(&world.ask(), "status busy"), 2);
    assert_eq!(told(&world.ask(), "status busy"), 2);
    let deadline = world.index.deadline(world.now);
    assert!(
        deadline.is_none_or(|deadline| deadline > world.now),
        "{deadline:?}"
    );
}
