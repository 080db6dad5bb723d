//! What the API server warns of when an object is applied, and what the program says of the same.
//!
//! The expressions of `config/base/warnings.yaml` and the rules of `policy::advice` are two tellings of
//! one meaning: over the corpus of [`cases`] they agree word for word.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod cases;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::Severity;
use crds::load::{Source, load};
use e2e::{ControlPlane, process};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use policy::advice::{
    FORGE_PATHS, FORGES, MAIL_PROVIDERS, NAMING, OPEN_REGISTRIES, SANDBOX_IMAGES, SYSTEM_IMAGES,
    SYSTEM_SIGNER, Word,
};
use policy::pattern::{ISSUERS, SUBJECTS};
use serde_json::{Value, json};

use cases::{Case, cases};

/// How long the API server may take to know a new admission policy.
const KNOWN: Duration = Duration::from_secs(30);

fn workspace(path: &str) -> String {
    std::fs::read_to_string(xtask::cache::workspace().join(path)).unwrap()
}

fn warnings_yaml() -> String {
    workspace("config/base/warnings.yaml")
}

/// The words that the API server knows.
fn words_of_cel() -> BTreeSet<&'static str> {
    let text = warnings_yaml();
    let words = Word::ALL.into_iter().map(Word::as_str);
    words
        .filter(|word| text.contains(&format!("message: \"{word}: ")))
        .collect()
}

async fn apply(client: &Client, value: &Value) -> Result<()> {
    let kind = value["kind"].as_str().unwrap_or_default().to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    };
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
    let params = PatchParams::apply("lab").force();
    let request = kube::core::Request::new(path).patch(name, &params, &Patch::Apply(value))?;
    let _: Value = client.request(request).await.context(name.to_owned())?;
    Ok(())
}

async fn cluster() -> Result<(ControlPlane, Client)> {
    let plane = ControlPlane::start().await?;
    plane.install_crds().await?;
    let client = plane.admin()?;
    let namespace = serde_json::from_value(json!({ "metadata": { "name": "team" } }))?;
    let api: Api<Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &namespace).await?;
    for document in warnings_yaml().split("\n---\n") {
        apply(&client, &serde_saphyr::from_str::<Value>(document)?).await?;
    }
    let (tag, reject) = (cases::tag_scope(), cases::nothing_exempt());
    process::wait_for("the warnings to come", KNOWN, async || {
        let told = !warned(&client, &tag).await?.is_empty();
        Ok((told && !warned(&client, &reject).await?.is_empty()).then_some(()))
    })
    .await?;
    Ok((plane, client))
}

/// The texts of the warnings that creating the object brings; nothing is stored.
async fn warned(client: &Client, object: &Value) -> Result<Vec<String>> {
    let plural = match object["kind"].as_str().unwrap_or_default() {
        "ClusterImageSignaturePolicy" => "clusterimagesignaturepolicies".to_owned(),
        "EnforcementConfig" => "enforcementconfigs".to_owned(),
        _ => {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            format!("namespaces/{namespace}/imagesignaturepolicies")
        }
    };
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let path = format!("/apis/{}/{plural}", crds::API_VERSION);
    let request = kube::core::Request::new(path).create(&params, serde_json::to_vec(object)?)?;
    let answer = client.send(request.map(Into::into)).await?;
    ensure!(
        answer.status().is_success(),
        "{} {object:#}",
        answer.status()
    );
    let headers = answer.headers().get_all("warning").iter();
    let texts = headers.map(|value| {
        let text = value.to_str()?;
        ensure!(text.starts_with("299 "), "{text}");
        Ok(text.to_owned())
    });
    texts.collect()
}

/// The words in texts of warnings.
fn words(texts: &[String]) -> BTreeSet<&'static str> {
    let all = Word::ALL.into_iter().map(Word::as_str);
    all.filter(|word| {
        texts
            .iter()
            .any(|text| text.contains(&format!(" {word}: ")))
    })
    .collect()
}

/// What the program says of the same object, as far as the API server knows the words.
fn said(object: &Value) -> BTreeSet<&'static str> {
    let trust_root = workspace("crds/tests/corpus/valid/regexp-warnings.yaml");
    let (_, trust_root) = trust_root.split_once("\n---\n").unwrap();
    let source = |name: &str, text: String| Source {
        name: name.to_owned(),
        text,
    };
    let loaded = load(&[
        source("object", object.to_string()),
        source("trust-root", trust_root.to_owned()),
    ]);
    assert!(!loaded.has_errors(), "{object:#} {:#?}", loaded.problems);
    let warnings: BTreeSet<&String> = loaded
        .problems_of(Severity::Warning)
        .map(|problem| &problem.reason)
        .collect();
    let known = words_of_cel().into_iter();
    known
        .filter(|word| warnings.iter().any(|reason| reason == word))
        .collect()
}

#[tokio::test]
async fn the_api_server_warns_of_what_the_program_warns_of() -> Result<()> {
    let (_plane, client) = cluster().await?;
    let mut told = BTreeSet::new();
    let mut quiet = BTreeSet::new();
    for Case {
        rule,
        object,
        warns,
    } in cases()
    {
        let texts = warned(&client, &object).await?;
        let by_cel = words(&texts);
        assert_eq!(
            by_cel.len(),
            texts.len(),
            "a warning without a word: {texts:#?}"
        );
        assert_eq!(by_cel, said(&object), "{rule}: {object:#}\n{texts:#?}");
        assert_eq!(by_cel.contains(rule.as_str()), warns, "{rule}: {object:#}");
        let sort = if warns { &mut told } else { &mut quiet };
        sort.insert(rule.as_str());
    }
    // Each rule has an object that gets its warning, and a near one that does not.
    let all = words_of_cel();
    assert_eq!((told, quiet), (all.clone(), all));
    Ok(())
}

#[tokio::test]
async fn regular_expressions_are_read_alike() -> Result<()> {
    let (_plane, client) = cluster().await?;
    for text in cases::EXPRESSIONS {
        let object = cases::keyless(&json!({
            "issuer": "https://issuer.example.com", "subjectRegExp": text,
        }));
        let by_cel = words(&warned(&client, &object).await?);
        assert_eq!(by_cel, said(&object), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn the_largest_policy_is_not_too_dear_to_look_at() -> Result<()> {
    let (_plane, client) = cluster().await?;
    let mut object = cases::tag_scope();
    let scopes: Vec<String> = (0..255)
        .map(|n| format!("a{n}.example.com/team/app"))
        .collect();
    let exclude: Vec<String> = (0..255)
        .map(|n| format!("a{n}.example.com/team/app/sandbox"))
        .collect();
    object["spec"]["exclude"] = json!(exclude);
    let scopes: Vec<String> = scopes
        .into_iter()
        .chain(["a.example.com/x:v1".to_owned()])
        .collect();
    object["spec"]["scopes"] = json!(scopes);
    let identity = json!({
        "issuer": "https://issuer.example.com",
        "subjectRegExp": r"https://github\.com/acme/[a-z]+/\.github/workflows/release\.yml@refs/tags/v[0-9]+",
    });
    let broad = json!({ "issuer": "https://issuer.example.com", "subjectRegExp": ".*@.*" });
    let mut identities = vec![identity; 15];
    identities.push(broad);
    object["spec"]["authorities"] = (0..16)
        .map(|n| json!({ "name": format!("a{n}"), "keyless": { "identities": identities } }))
        .collect();
    let found = words(&warned(&client, &object).await?);
    assert!(
        found.contains("TagScope") && found.contains("BroadRegExp"),
        "{found:?}"
    );
    Ok(())
}

#[test]
fn the_lists_of_the_expressions_are_those_of_the_program() {
    let text = warnings_yaml();
    let lists: [&[&str]; 10] = [
        &SUBJECTS,
        &ISSUERS,
        &FORGES,
        &FORGE_PATHS,
        &MAIL_PROVIDERS,
        &NAMING,
        &OPEN_REGISTRIES,
        &SANDBOX_IMAGES,
        &SYSTEM_IMAGES,
        &[SYSTEM_SIGNER],
    ];
    for one in lists.into_iter().flatten() {
        assert!(text.contains(&format!("'{one}'")), "{one}");
    }
    let kustomization = workspace("config/base/kustomization.yaml");
    assert!(kustomization.contains("- warnings.yaml"));
}
