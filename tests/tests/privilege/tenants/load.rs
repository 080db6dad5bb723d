//! As much work as he can make for the operator and the nodes.

use anyhow::{Context as _, Result};
use e2e::process;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::{OWN, Scene};
use crate::lab::{OPERATOR, SOON, api_of, pem, policy};

pub(super) async fn attempts(scene: &mut Scene) -> Result<()> {
    huge(scene).await?;
    regexes(scene).await?;
    sources(scene).await?;
    flapping(scene).await
}

/// As much as the schema admits, until the namespace is full.
async fn huge(scene: &mut Scene) -> Result<()> {
    for number in 0..4 {
        let tail = "x".repeat(240);
        let scopes: Vec<String> = (0..256)
            .map(|scope| format!("registry.example/{number}-{scope}/{tail}"))
            .collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let name = format!("huge-{number}");
        scene
            .write(&policy(OWN, &name, &scopes, &json!({ "data": pem() })))
            .await?;
    }
    let said = scene.own("huge-3", "Accepted", "False TooLarge").await?;
    scene.others_go_on("huge").await?;
    let scopes: Vec<String> = (0..257).map(|n| format!("registry.example/{n}")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let over = policy(OWN, "over", &scopes, &json!({ "data": pem() }));
    scene
        .refused("more scopes than the schema admits", &over)
        .await;
    scene.tell("policies that fill a bundle", said);
    scene.clean().await
}

/// 16 authorities of 16 identities each, with expressions that take long to compile.
async fn regexes(scene: &mut Scene) -> Result<()> {
    let identity = |authority: usize, number: usize| {
        json!({
            "issuer": "https://issuer.example",
            "subjectRegExp": format!("a{authority}b{number}[a-z]{{1,20}}([0-9a-f]{{1,4}}x?){{1,3}}"),
        })
    };
    let authority = |authority: usize| {
        let identities: Vec<Value> = (0..16).map(|number| identity(authority, number)).collect();
        json!({
            "name": format!("a{authority}"),
            "keyless": { "trustRoot": "absent", "identities": identities },
        })
    };
    let authorities: Vec<Value> = (0..16).map(authority).collect();
    for number in 0..8 {
        let mut mine = policy(
            OWN,
            &format!("r{number}"),
            &["registry.example/r"],
            &json!({}),
        );
        mine["spec"]["authorities"] = authorities.clone().into();
        scene.write(&mine).await?;
    }
    scene.others_go_on("regexes").await?;
    let said = scene.own("r7", "Ready", "False NotFound").await?;
    // One that is too much by itself.
    let mut mine = policy(OWN, "r7", &["registry.example/r"], &json!({}));
    mine["spec"]["authorities"] = json!([{
        "name": "a",
        "keyless": { "trustRoot": "absent", "identities": [{
            "issuer": "https://issuer.example", "subjectRegExp": "((a{1,1000}){1,1000}){1,1000}",
        }] },
    }]);
    scene.write(&mine).await?;
    scene.own("r7", "Accepted", "False InvalidRegExp").await?;
    scene.tell(
        "16 times 16 costly regular expressions, in eight policies",
        said,
    );
    scene.clean().await
}

/// As many `ConfigMaps` as eight policies can name.
async fn sources(scene: &mut Scene) -> Result<()> {
    for number in 0..8 {
        let authority = |index: usize| {
            json!({
                "name": format!("a{index}"),
                "key": { "configMapKeyRef": { "name": format!("map-{number}-{index}"), "key": "k" } },
            })
        };
        let mut mine = policy(
            OWN,
            &format!("s{number}"),
            &["registry.example/s"],
            &json!({}),
        );
        mine["spec"]["authorities"] = (0..16).map(authority).collect();
        scene.write(&mine).await?;
    }
    let said = scene.own("s7", "Accepted", "False NotPermitted").await?;
    scene.own("s1", "Resolved", "False NotFound").await?;
    scene.others_go_on("sources").await?;
    let mut read = scene.lab.requests_of(OPERATOR)?;
    read.retain(|request| request.resource == "configmaps" && request.name.starts_with("map-"));
    let names: std::collections::BTreeSet<&String> = read.iter().map(|r| &r.name).collect();
    assert_eq!(names.len(), 32, "{names:?}");
    scene.tell(
        "keys from very many ConfigMaps, each of which is watched",
        said,
    );
    scene.clean().await
}

/// A policy that is another one all the time.
async fn flapping(scene: &mut Scene) -> Result<()> {
    let bundles = async |scene: &Scene| {
        let mut created = scene.lab.requests_of(OPERATOR)?;
        created.retain(|r| r.resource == "policybundles" && r.verb == "create");
        anyhow::Ok(created.len())
    };
    let before = bundles(scene).await?;
    let began = std::time::Instant::now();
    for number in 0..60 {
        let scope = format!("registry.example/flap-{number}");
        scene
            .write(&policy(OWN, "flap", &[&scope], &json!({ "data": pem() })))
            .await?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let made = bundles(scene).await? - before;
    let windows = usize::try_from(began.elapsed().as_secs() / 10)? + 2;
    assert!(made <= windows, "{made} bundles in {:?}", began.elapsed());
    scene.others_go_on("flapping").await?;
    scene.tell(
        "a policy that changes all the time",
        format!("60 changes made {made} bundles"),
    );
    scene.clean().await
}

/// Policies that are as large as what keeps them admits, which is etcd: no status fits beside.
pub(super) async fn full(scene: &mut Scene) -> Result<()> {
    let api = api_of(
        &scene.attacker,
        crds::API_VERSION,
        "ImageSignaturePolicy",
        OWN,
    );
    let create = async |name: &str, labels: usize| -> Result<bool> {
        let object: DynamicObject = serde_json::from_value(labelled(name, labels))?;
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.message.contains("too large") => Ok(false),
            Err(error) => Err(error.into()),
        }
    };
    // As many labels as are admitted; the objects on the way there are deleted.
    let (mut fits, mut beyond) = (1000, 4000);
    while beyond - fits > 1 {
        let (name, middle) = (
            format!("try-{fits}-{beyond}"),
            usize::midpoint(fits, beyond),
        );
        if create(&name, middle).await? {
            api.delete(&name, &DeleteParams::default()).await?;
            fits = middle;
        } else {
            beyond = middle;
        }
    }
    for number in 0..4 {
        assert!(create(&format!("full-{number}"), fits).await?, "{fits}");
    }
    let refused = async || {
        let mut refused = scene.lab.requests_of(OPERATOR)?;
        refused.retain(|r| r.name.starts_with("full-") && r.code >= 400);
        Ok((refused.len() >= 4).then_some(refused))
    };
    let refused = process::wait_for("their statuses to be refused", SOON, refused).await?;
    for host in ["full", "fuller", "fullest"] {
        scene.others_go_on(host).await?;
    }
    let first = refused.first().context("a request")?;
    scene.tell(
        "policies that have no room for their status",
        format!("{} labels; the status is refused with {}", fits, first.code),
    );
    scene.clean().await
}

/// A policy with so many labels of some hundred bytes.
fn labelled(name: &str, labels: usize) -> Value {
    let mut object = policy(
        OWN,
        name,
        &["registry.example/full"],
        &json!({ "data": pem() }),
    );
    let tail = "x".repeat(60);
    let label = |number: usize| {
        let key = format!("l{number}.{tail}.{tail}.{tail}/{tail}");
        (key, tail.clone().into())
    };
    let all: serde_json::Map<String, Value> = (0..labels).map(label).collect();
    object["metadata"]["labels"] = all.into();
    object
}
