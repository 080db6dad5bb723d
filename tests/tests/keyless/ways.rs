//! Every way to sign.

use anyhow::{Context as _, Result};
use e2e::cosign::{Format, Version};
use e2e::sigstore_services::signing::{WAYS, way};
use e2e::sigstore_services::{Issuer, Log, Person};
use e2e::{Registry, process};
use serde_json::json;

use crate::scene::{DEV, Scene};

#[tokio::test]
async fn what_each_cosign_signs_for_an_address_is_pulled_without_referrers_api() -> Result<()> {
    let scene = Scene::start().await?;
    pulls_what_is_signed_every_way(scene).await
}

#[tokio::test]
async fn what_each_cosign_signs_for_an_address_is_pulled_with_referrers_api() -> Result<()> {
    let mut scene = Scene::start().await?;
    scene.registry = Registry::with_referrers().await?;
    pulls_what_is_signed_every_way(scene).await
}

async fn pulls_what_is_signed_every_way(scene: Scene) -> Result<()> {
    let (issuer, dev) = (scene.issuer(Issuer::PEOPLE), Person::new(DEV).token());
    scene.enforce(&[scene.dev()])?;
    let mut verdicts = Vec::new();
    for way in WAYS {
        let image = scene.push(&way.name()).await?;
        let before = scene.verdict(&image).await?;
        let stranger = Person::new("stranger@corp.example").token();
        scene.sign(way, &stranger, &image).await?;
        let strange = scene.verdict(&image).await?;
        scene.sign(way, &dev, &image).await?;
        // cosign is the judge of what it wrote.
        let identity = (issuer.as_str(), DEV);
        let services = &scene.services;
        let judge = services.verify_command(way, services.trust(), identity, &image.by_digest())?;
        process::output(judge).await.context(way.name())?;
        let after = scene.verdict(&image).await?;
        verdicts.push((way.name(), [before, strange, after]));
    }
    let wanted = ["NoSignature", "NoMatchingSignature", "pulled"].map(str::to_owned);
    for (way, verdict) in &verdicts {
        assert_eq!(verdict, &wanted, "{way}: {verdicts:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_needs_a_log_entry_is_refused_without() -> Result<()> {
    let scene = Scene::start().await?;
    let mut verdicts = Vec::new();
    let ways = WAYS.map(|way| (way, "pulled")).into_iter().chain([
        (
            way(Version::V2, Format::Attachment, Log::Off, false),
            "LogEntryMissing",
        ),
        (
            way(Version::V2, Format::Attachment, Log::Off, true),
            "LogEntryMissing",
        ),
        (
            way(Version::V3, Format::Bundle, Log::Off, false),
            "LogEntryMissing",
        ),
        (
            way(Version::V3, Format::Bundle, Log::Off, true),
            "LogEntryMissing",
        ),
    ]);
    for (way, wanted) in ways {
        let cosign = scene.services.cosign(way.version);
        let key = cosign.generate_key(&way.name()).await?;
        let image = scene.push(&way.name()).await?;
        let signed = image.by_digest();
        scene.services.sign_by_key(way, &key, &signed).await?;
        let mut authority = json!({"name": "release", "key": {"data": key.pem}});
        scene.enforce_authority(scene.services.trust(), &authority)?;
        let without = scene.verdict(&image).await?;
        authority["transparencyLog"] = json!({"trustRoot": "lab"});
        scene.enforce_authority(scene.services.trust(), &authority)?;
        verdicts.push((way.name(), wanted, without, scene.verdict(&image).await?));
    }
    for (way, wanted, without, with) in &verdicts {
        assert_eq!(without, "pulled", "{way}: {verdicts:#?}");
        assert_eq!(with, wanted, "{way}: {verdicts:#?}");
    }
    Ok(())
}
