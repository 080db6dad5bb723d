//! Every parser with its corpus and with many inputs that are nearly right, always the same ones.
//!
//! `NODESEAL_FULL=1` gives ten times as many. `cargo fuzz` looks further, see `fuzz/README.md`.

#![allow(clippy::panic, reason = "it is how a test fails")]

use std::panic::{self, AssertUnwindSafe};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fuzz_harness::{Mutator, Target, seeds, target};

/// Inputs of one target; `rate` of a hundred at least must be accepted, else the mutations no
/// longer reach what lies behind the parser.
fn holds(name: &str, count: usize, rate: usize) {
    let target = target(name);
    let seeds = seeds(name);
    for seed in &seeds {
        run(&target, seed);
    }
    let full = std::env::var_os("NODESEAL_FULL").is_some_and(|value| !value.is_empty());
    let count = if full { count * 10 } else { count };
    let mut mutator = Mutator::new(1, &seeds, target.words);
    let accepted = (0..count)
        .filter(|_| run(&target, &mutator.next_input()))
        .count();
    println!(
        "{name}: {} seeds, {count} mutations, {accepted} accepted",
        seeds.len()
    );
    assert!(
        accepted * 100 >= count * rate,
        "{accepted} of {count} are accepted"
    );
}

fn run(target: &Target, input: &[u8]) -> bool {
    panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input))).unwrap_or_else(|_| {
        panic!(
            "{name}: this input does not hold:\n{encoded}\nonce mended, keep it: base64 -d > fuzz/corpus/{name}/<what it is>",
            name = target.name,
            encoded = STANDARD.encode(input),
        )
    })
}

#[test]
fn scopes_and_image_names() {
    holds("scope", 20_000, 10);
}

#[test]
fn the_policy_json_of_a_node() {
    holds("policy_json", 20_000, 5);
}

#[test]
fn the_registries_conf_of_a_node() {
    holds("registries_conf", 20_000, 20);
}

#[test]
fn trust_roots() {
    holds("trusted_root", 6_000, 2);
}

#[test]
fn manifests() {
    holds("yaml_policy", 2_000, 2);
}

#[test]
fn containerds_call() {
    holds("verifier_call", 6_000, 1);
}

/// Else the properties would say nothing about what is accepted.
#[test]
fn what_was_recorded_is_accepted_and_its_forgeries_are_not() {
    let recorded = fuzz_harness::recorded();
    assert!(recorded.len() > 15);
    for (name, data) in recorded {
        let accepted = fuzz_harness::signature_manifest(&data);
        assert_eq!(accepted, !name.starts_with("wrong-"), "{name}");
    }
}

#[test]
fn manifests_of_signatures() {
    holds("signature_manifest", 1_000, 5);
}

#[test]
fn sigstore_bundles() {
    holds("sigstore_bundle", 500, 1);
}

#[test]
fn lists_of_referrers() {
    holds("referrers", 20_000, 10);
}

#[test]
fn challenges_of_registries() {
    holds("challenge", 20_000, 10);
}

#[test]
fn the_hosts_toml_of_a_node() {
    holds("hosts_toml", 4_000, 10);
}

#[test]
fn dockers_config_json() {
    holds("docker_config", 4_000, 5);
}

#[test]
fn the_kubelets_credential_providers() {
    holds("credential_provider", 1_500, 5);
}

#[test]
fn what_credential_providers_answer() {
    holds("provider_answer", 1_000, 3);
}

#[test]
fn verdicts_that_are_kept() {
    holds("kept_verdict", 2_000, 5);
}

#[test]
fn the_log_of_verdicts() {
    holds("verdict_log", 3_000, 10);
}
