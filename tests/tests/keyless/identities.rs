//! Whom a certificate is for.

use std::slice;

use anyhow::Result;
use e2e::sigstore_services::{Issuer, Person, Token, Workflow};
use serde_json::json;

use crate::scene::{ATTACHMENT, BUNDLE, DEV, Scene};

#[tokio::test]
async fn a_workflow_is_pulled_by_its_uri_by_an_expression_and_by_its_claims() -> Result<()> {
    let scene = Scene::start().await?;
    let workflow = Workflow::release("acme/app", "refs/tags/v1.2.3");
    let issuer = scene.issuer(Issuer::WORKFLOWS);
    let image = scene.signed("app", BUNDLE, &workflow.token()).await?;
    let older = scene.signed("older", ATTACHMENT, &workflow.token()).await?;
    let expression =
        r"https://github\.com/acme/[a-z]+/\.github/workflows/release\.yml@refs/tags/v.*";
    let claims = json!({
        "sourceRepositoryURI": "https://github.com/acme/app",
        "sourceRepositoryRef": "refs/tags/v1.2.3",
        "buildTrigger": "push",
    });
    let any_realm = issuer
        .replace('.', r"\.")
        .replace(Issuer::WORKFLOWS, "[a-z]+");
    let right = [
        json!({"issuer": issuer, "subject": workflow.uri()}),
        json!({"issuer": issuer, "subjectRegExp": expression}),
        json!({"issuerRegExp": any_realm, "subject": workflow.uri()}),
        json!({"issuer": issuer, "subject": workflow.uri(), "claims": claims}),
    ];
    for identity in right {
        scene.enforce(slice::from_ref(&identity))?;
        assert_eq!(scene.verdict(&image).await?, "pulled", "{identity}");
        assert_eq!(scene.verdict(&older).await?, "pulled", "{identity}");
    }
    Ok(())
}

#[tokio::test]
async fn a_workflow_is_refused_for_whatever_is_not_its_own() -> Result<()> {
    let scene = Scene::start().await?;
    let workflow = Workflow::release("acme/app", "refs/tags/v1.2.3");
    let (uri, issuer) = (workflow.uri(), scene.issuer(Issuer::WORKFLOWS));
    let image = scene.signed("app", BUNDLE, &workflow.token()).await?;
    let older = scene.signed("older", ATTACHMENT, &workflow.token()).await?;
    let with_claim = |name: &str, value: &str| {
        let claims = json!({name: value});
        json!({"issuer": issuer, "subject": uri, "claims": claims})
    };
    let wrong = [
        // Another issuer; one that only begins like it; one that only begins with it.
        json!({"issuer": scene.issuer(Issuer::PEOPLE), "subject": uri}),
        json!({"issuer": format!("{issuer}2"), "subject": uri}),
        json!({"issuerRegExp": "https://127", "subject": uri}),
        // Another subject, and expressions that match a part alone.
        json!({"issuer": issuer, "subject": uri.replace("v1.2.3", "v1.2.4")}),
        json!({"issuer": issuer, "subject": uri.replace("v1.2.3", "v1.2")}),
        json!({"issuer": issuer, "subjectRegExp": "https://github.com/acme/app"}),
        json!({"issuer": issuer, "subjectRegExp": "^https://github.com/acme/app/"}),
        json!({"issuer": issuer, "subjectRegExp": "refs/tags/v1.2.3$"}),
        json!({"issuer": issuer, "subjectRegExp": "https://github.com/acme/app|other"}),
        // Claims of others, and one that the certificate does not make.
        with_claim("sourceRepositoryURI", "https://github.com/acme/other"),
        with_claim("sourceRepositoryURI", "https://github.com/acme"),
        with_claim("buildTrigger", "pull_request"),
        with_claim("deploymentEnvironment", "production"),
    ];
    for identity in wrong {
        scene.enforce(slice::from_ref(&identity))?;
        for image in [&image, &older] {
            let verdict = scene.verdict(image).await?;
            assert_eq!(verdict, "NoMatchingSignature", "{identity}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_refusal_names_who_has_signed_instead() -> Result<()> {
    let scene = Scene::start().await?;
    let other = Person::new("other@corp.example").token();
    let image = scene.signed("app", BUNDLE, &other).await?;
    scene.enforce(&[scene.dev()])?;
    let refusal = scene.node.pull(&image.by_tag()).await?.unwrap_err();
    assert_eq!(refusal.code, "NoMatchingSignature");
    assert!(
        refusal.message.contains("other@corp.example"),
        "{refusal:?}"
    );
    assert!(!refusal.transient);
    Ok(())
}

#[tokio::test]
async fn any_one_of_several_identities_is_enough() -> Result<()> {
    let scene = Scene::start().await?;
    let workflow = Workflow::release("acme/app", "refs/heads/main");
    let by_workflow = json!({"issuer": scene.issuer(Issuer::WORKFLOWS), "subject": workflow.uri()});
    scene.enforce(&[scene.dev(), by_workflow])?;
    let verdict = async |name: &str, token: &Token| {
        let image = scene.signed(name, BUNDLE, token).await?;
        scene.verdict(&image).await
    };
    assert_eq!(verdict("ci", &workflow.token()).await?, "pulled");
    assert_eq!(verdict("dev", &Person::new(DEV).token()).await?, "pulled");
    // The right address by the wrong provider, and a mix of both identities.
    let partner = Person::of_partners(DEV).token();
    assert_eq!(verdict("partner", &partner).await?, "NoMatchingSignature");
    let fork = Workflow::release("mallory/app", "refs/heads/main").token();
    assert_eq!(verdict("fork", &fork).await?, "NoMatchingSignature");
    Ok(())
}

#[tokio::test]
async fn the_same_image_is_judged_anew_when_the_identity_changes() -> Result<()> {
    let scene = Scene::start().await?;
    let image = scene
        .signed("app", BUNDLE, &Person::new(DEV).token())
        .await?;
    let other = json!({"issuer": scene.issuer(Issuer::PEOPLE), "subject": "other@corp.example"});
    for _ in 0..2 {
        assert_eq!(scene.verdict_for(&image, scene.dev()).await?, "pulled");
        let refused = scene.verdict_for(&image, other.clone()).await?;
        assert_eq!(refused, "NoMatchingSignature");
    }
    Ok(())
}
