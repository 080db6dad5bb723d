//! The API server and the offline validator say the same about the same objects.
//!
//! Each file in `data/api/invalid` names in its first line the layer that refuses it:
//! - `schema` and `cel`: the API server and the validator both do, at the same fields;
//! - `strict-unknown`: both do, since no field of that name exists, or one stands twice;
//! - `program`: the API server takes it, the validator and the operator do not.
//!
//! Everything that the two say stands in the file `.expected` beside it, word by word. With
//! `NODESEAL_WRITE_EXPECTED` set these files are written instead; read every message then.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod case;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use crds::{Layer, Problem};
use e2e::ControlPlane;
use e2e::control_plane::Refused;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use case::{Case, KINDS, cases, causes, compare, unknown_fields};

/// The rule that no single object can break: `a_bundle_never_changes` names it.
const IMMUTABLE: &str =
    "a PolicyBundle never changes, other content has another name: leave it to the operator";

async fn control_plane() -> Result<ControlPlane> {
    let plane = ControlPlane::start().await?;
    plane.install_crds().await?;
    Ok(plane)
}

async fn make_namespaces(plane: &ControlPlane, cases: &[Case]) -> Result<()> {
    let wanted = cases.iter().filter_map(|case| case.value("namespace"));
    let api: Api<Namespace> = Api::all(plane.admin()?);
    for name in wanted.collect::<BTreeSet<_>>() {
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        // Names of no use are among the cases, and one is there already.
        let _ = api.create(&PostParams::default(), &namespace).await;
    }
    Ok(())
}

fn is_unknown(problem: &Problem) -> bool {
    problem.reason == "UnknownField" || problem.layer == Layer::Yaml
}

fn check_invalid(case: &Case, answer: &Result<Value, Refused>) -> Result<()> {
    let layer = case.layer();
    let first = case.problems.iter().map(|problem| problem.layer).min();
    let Err(refused) = answer else {
        ensure!(
            layer == "program",
            "the API server accepts what {layer} should refuse"
        );
        ensure!(first == Some(Layer::Program), "refused in {first:?}");
        return Ok(());
    };
    match layer {
        "strict-unknown" => {
            ensure!(refused.code == 400, "{refused:?}");
            ensure!(
                refused.message.contains("strict decoding error"),
                "{refused:?}"
            );
            ensure!(case.problems.iter().any(is_unknown), "{:?}", case.problems);
            let ours = case.fields(|problem| problem.reason == "UnknownField");
            let theirs = unknown_fields(refused);
            // A key that stands twice is no field that is unknown.
            ensure!(ours.is_empty() || ours == theirs, "{ours:?} and {theirs:?}");
        }
        "schema" | "cel" => {
            let wanted = if layer == "cel" {
                Layer::Cel
            } else {
                Layer::Schema
            };
            ensure!(refused.code == 422, "{refused:?}");
            ensure!(first == Some(wanted), "refused in {first:?}");
            let ours = case.fields(|problem| problem.layer <= Layer::Cel);
            let theirs: BTreeSet<String> = causes(refused).map(|(field, _)| field).collect();
            ensure!(ours == theirs, "{ours:?} and {theirs:?}");
            for rule in case
                .problems
                .iter()
                .filter(|problem| problem.layer == Layer::Cel)
            {
                let same = |(field, message): (String, String)| {
                    field == rule.field && message.ends_with(&rule.message)
                };
                ensure!(causes(refused).any(same), "{rule} is not among {refused:?}");
            }
        }
        other => anyhow::bail!("{other:?} is no layer that refuses here"),
    }
    Ok(())
}

#[tokio::test]
async fn what_is_invalid_is_refused_by_both_in_the_same_layer() -> Result<()> {
    let cases = cases("data/api/invalid");
    assert!(cases.len() >= 40);
    let plane = control_plane().await?;
    make_namespaces(&plane, &cases).await?;
    let mut failed = Vec::new();
    for case in &cases {
        let answer = case.apply(&plane).await?;
        let checked = check_invalid(case, &answer).with_context(|| case.name());
        let compared = compare(case, &case.described(&answer));
        failed.extend([checked.err(), compared.err()].into_iter().flatten());
    }
    let failed: Vec<String> = failed.iter().map(|error| format!("{error:#}")).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[tokio::test]
async fn what_is_valid_is_accepted_by_both() -> Result<()> {
    let cases = cases("data/api/valid");
    assert!(cases.len() >= 15);
    let plane = control_plane().await?;
    make_namespaces(&plane, &cases).await?;
    for case in &cases {
        let answer = case.apply(&plane).await?;
        assert!(answer.is_ok(), "{}: {answer:?}", case.name());
        // What only the program can know: no file may bring two of the kinds, and what a TrustRoot
        // refers to is not here.
        let layers: Vec<Layer> = case.problems.iter().map(|problem| problem.layer).collect();
        let kind = case.value("kind").unwrap();
        let elsewhere = ["mirror:", "configMapKeyRef:"];
        let refused = matches!(kind, "PolicyBundle" | "NodeImagePolicy")
            || kind == "TrustRoot" && elsewhere.iter().any(|field| case.text.contains(field));
        let expected = if refused {
            vec![Layer::Program]
        } else {
            vec![]
        };
        assert_eq!(layers, expected, "{}: {:?}", case.name(), case.problems);
        compare(case, &case.described(&answer))?;
    }
    for (kind, ..) in KINDS {
        let is = |case: &&Case| case.value("kind") == Some(kind);
        assert!(cases.iter().any(|case| is(&case)), "no valid {kind}");
    }
    Ok(())
}

/// The corpus of the validator: whatever it refuses in the first two layers the API server refuses
/// too, and nothing else.
#[tokio::test]
async fn the_corpus_of_the_validator_is_judged_alike() -> Result<()> {
    let mut cases = cases("../crds/tests/corpus/invalid");
    cases.extend(case::cases("../crds/tests/corpus/valid"));
    // Files of several objects, or of none that the API server would get.
    cases.retain(|case| {
        let ours = KINDS
            .iter()
            .any(|(kind, ..)| case.value("kind") == Some(*kind));
        let one = case
            .text
            .matches("apiVersion: nodeseal.dev/v1alpha1")
            .count()
            == 1;
        ours && one && !case.text.contains("\n---") && !case.text.contains("kind: List")
    });
    assert!(cases.len() > 40, "{}", cases.len());
    let plane = control_plane().await?;
    make_namespaces(&plane, &cases).await?;
    let mut failed = Vec::new();
    for case in &cases {
        let answer = case.apply(&plane).await?;
        let ours = case
            .problems
            .iter()
            .any(|problem| problem.layer <= Layer::Cel);
        if ours != answer.is_err() {
            failed.push(format!("{}: {answer:?}\n{:?}", case.name(), case.problems));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}

#[tokio::test]
async fn a_bundle_never_changes() -> Result<()> {
    let plane = control_plane().await?;
    let case = Case::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/api/valid/bundle.yaml"));
    let created = plane.create(&case.collection(), &case.text, false).await?;
    ensure!(created.is_ok(), "{created:?}");
    let api: Api<crds::PolicyBundle> = Api::all(plane.admin()?);
    let name = case.value("name").unwrap();
    let mut bundle = api.get(name).await?;
    // What is no part of the content may change.
    bundle.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let mut bundle = api.replace(name, &PostParams::default(), &bundle).await?;
    bundle.spec.data = "QQ==".to_owned();
    let refused = api.replace(name, &PostParams::default(), &bundle).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains(IMMUTABLE), "{message}");
    Ok(())
}

/// A rule that nothing breaks could be deleted and nobody would notice.
#[test]
fn every_rule_has_a_case_that_breaks_it() {
    fn messages(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if key == "x-kubernetes-validations" {
                        let rules = value.as_array().unwrap().iter();
                        found
                            .extend(rules.map(|rule| rule["message"].as_str().unwrap().to_owned()));
                    }
                    messages(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
            _ => {}
        }
    }
    let cases = cases("data/api/invalid");
    for (path, text) in crds::generate() {
        let definition: Value = serde_saphyr::from_str(&text).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        let mut rules = Vec::new();
        messages(&definition, &mut rules);
        rules.retain(|rule| rule != IMMUTABLE);
        for rule in rules {
            let breaks = |case: &&Case| {
                let said = case.problems.iter().any(|problem| problem.message == rule);
                case.layer() == "cel" && said
            };
            // Both kinds of policy share rules; the ones of their own have cases of their own.
            let of_kind =
                |case: &&Case| case.value("kind") == Some(kind) || kind == "ImageSignaturePolicy";
            assert!(
                cases.iter().any(|case| of_kind(&case) && breaks(&case)),
                "{path}: no case breaks `{rule}`"
            );
        }
    }
}
