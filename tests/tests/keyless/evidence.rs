//! What proves when it was signed, and that the certificate is known to the world.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use e2e::Image;
use e2e::cosign::{Format, Version};
use e2e::sigstore::{self, Authority, Leaf, Payload, Validity};
use e2e::sigstore_services::signing::way;
use e2e::sigstore_services::{Issuer, Log, Person, Services};

use crate::scene::{ATTACHMENT, BUNDLE, DEV, Scene};

#[tokio::test]
async fn a_signature_without_log_entry_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let mut verdicts = Vec::new();
    for (version, format, timestamp) in [
        (Version::V2, Format::Attachment, false),
        (Version::V2, Format::Attachment, true),
        (Version::V3, Format::Bundle, true),
    ] {
        let way = way(version, format, Log::Off, timestamp);
        let image = scene.push(&way.name()).await?;
        scene.sign(way, &Person::new(DEV).token(), &image).await?;
        verdicts.push((way.name(), scene.verdict(&image).await?));
    }
    for (way, verdict) in &verdicts {
        assert_eq!(verdict, "LogEntryMissing", "{way}: {verdicts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_had_ended_is_refused_even_with_a_log_entry() -> Result<()> {
    let scene = Scene::start().await?;
    // Fulcio's own end after ten minutes; these ended an hour ago.
    let authority = Authority::root("own")?;
    let log = sigstore::Log::new()?;
    let services = scene.services.trust().clone();
    let trust = services
        .without_ct_logs()
        .with_authority(&authority)?
        .with_log(&log)?;
    scene.enforce_by(&trust, &[scene.dev()])?;
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    let leaf = Leaf::new()
        .email(DEV)
        .issuer(&scene.issuer(Issuer::PEOPLE))
        .valid(Validity::around(hour_ago));
    let signer = authority.issue(&leaf)?;
    let sign =
        |image: &Image| signer.sign(&Payload::new(&image.repository.full_name(), &image.digest));

    let bare = scene.push("bare").await?;
    sigstore::attach(&bare, &[sign(&bare)?]).await?;
    assert_eq!(scene.verdict(&bare).await?, "LogEntryMissing");
    let late = scene.push("late").await?;
    sigstore::attach(&late, &[sign(&late)?.logged(&log, SystemTime::now())?]).await?;
    assert_eq!(scene.verdict(&late).await?, "CertificateExpired");
    // What makes the difference is nothing but the time of the entry.
    let timely = scene.push("timely").await?;
    sigstore::attach(&timely, &[sign(&timely)?.logged(&log, hour_ago)?]).await?;
    assert_eq!(scene.verdict(&timely).await?, "pulled");
    Ok(())
}

#[tokio::test]
async fn a_certificate_without_sct_is_refused_where_the_root_has_ct_logs() -> Result<()> {
    let scene = Scene::start().await?;
    let (authority, log) = (Authority::root("own")?, sigstore::Log::new()?);
    let trust = scene.services.trust().clone();
    let trust = trust.with_authority(&authority)?.with_log(&log)?;
    let issuer = scene.issuer(Issuer::PEOPLE);
    let signer = authority.issue(&Leaf::new().email(DEV).issuer(&issuer))?;
    let image = scene.push("app").await?;
    let payload = Payload::new(&image.repository.full_name(), &image.digest);
    let signature = signer.sign(&payload)?.logged(&log, SystemTime::now())?;
    sigstore::attach(&image, &[signature]).await?;
    scene.enforce_by(&trust, &[scene.dev()])?;
    assert_eq!(scene.verdict(&image).await?, "LogEntryInvalid");
    scene.enforce_by(&trust.without_ct_logs(), &[scene.dev()])?;
    assert_eq!(scene.verdict(&image).await?, "pulled");
    Ok(())
}

#[tokio::test]
async fn without_scts_timestamps_or_logs_that_are_trusted_nothing_is_pulled() -> Result<()> {
    let scene = Scene::start().await?;
    let elsewhere = Services::start().await?;
    let dev = Person::new(DEV).token();
    let image = scene.signed("app", BUNDLE, &dev).await?;
    let older = scene.signed("older", ATTACHMENT, &dev).await?;
    let trust = || scene.services.trust().clone();
    let roots = [
        (
            "all of another instance",
            elsewhere.trust().clone(),
            "NoMatchingSignature",
        ),
        (
            "CT log",
            trust().replaced(elsewhere.trust(), "ctlogs"),
            "LogEntryInvalid",
        ),
        (
            "logs",
            trust().replaced(elsewhere.trust(), "tlogs"),
            "LogEntryInvalid",
        ),
    ];
    let mut verdicts = Vec::new();
    for (name, root, wanted) in &roots {
        scene.enforce_by(root, &[scene.dev()])?;
        for image in [&image, &older] {
            let verdict = scene.verdict(image).await?;
            verdicts.push((*name, image.by_tag(), *wanted, verdict));
        }
    }
    let root = trust().replaced(elsewhere.trust(), "timestampAuthorities");
    scene.enforce_by(&root, &[scene.dev()])?;
    verdicts.push((
        "timestamps",
        image.by_tag(),
        "LogEntryInvalid",
        scene.verdict(&image).await?,
    ));
    // Rekor v1 says by itself when it was.
    verdicts.push((
        "timestamps",
        older.by_tag(),
        "pulled",
        scene.verdict(&older).await?,
    ));
    for (.., wanted, verdict) in &verdicts {
        assert_eq!(verdict, wanted, "{verdicts:#?}");
    }
    Ok(())
}
