//! The lab by itself: its peers are real, and behave as the design relies on.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

use std::fs;
use std::path::Path;

use anyhow::Result;
use e2e::cosign::{self, Cosign, Format, WAYS};
use e2e::keys::Kind;
use e2e::{Containerd, Image, Key, Registry, containerd};

#[tokio::test]
async fn a_containerd_pulls_from_the_registry_without_referrers() -> Result<()> {
    let registry = Registry::distribution().await?;
    assert_eq!(
        registry.repository("app").referrers(&zero_digest()).await?,
        None
    );
    pulls_from(&registry).await
}

#[tokio::test]
async fn a_containerd_pulls_from_the_registry_with_referrers() -> Result<()> {
    let registry = Registry::with_referrers().await?;
    let image = Image::push(&registry, "app", "v1").await?;
    assert_eq!(
        image.repository.referrers(&image.digest).await?,
        Some(vec![])
    );
    pulls_from(&registry).await
}

async fn pulls_from(registry: &Registry) -> Result<()> {
    let containerd = Containerd::start(containerd::Options::default()).await?;
    let cri = containerd.cri().await?;
    assert_eq!(cri.version().await?, ("containerd".into(), "v2.2.1".into()));

    let image = Image::push(registry, "team/app", "v1").await?;
    let other = Image::push_index(registry, "team/app", "v2").await?;
    assert_ne!(image.digest, other.digest);

    cri.pull(&image.by_tag()).await?;
    cri.pull(&other.by_digest()).await?;
    let names: Vec<_> = cri
        .list()
        .await?
        .into_iter()
        .flat_map(|image| image.repo_digests)
        .collect();
    assert!(names.contains(&image.by_digest()), "{names:?}");
    assert!(names.contains(&other.by_digest()), "{names:?}");

    cri.remove(&image.by_tag()).await?;
    assert_eq!(cri.image(&image.by_tag()).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_containerd_asks_its_verifiers() -> Result<()> {
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "app", "v1").await?;
    let containerd = Containerd::start(containerd::Options::default()).await?;
    let cri = containerd.cri().await?;

    containerd.install_verifier("verifier", Path::new("/bin/false"))?;
    let refused = cri
        .pull(&image.by_tag())
        .await
        .expect_err("the verifier refuses");
    assert_eq!(refused.code, "Unknown");
    let words = format!(
        "blocked pull of {} with digest {}",
        image.by_tag(),
        image.digest
    );
    assert!(refused.message.contains(&words), "{refused}");
    assert!(
        refused
            .message
            .contains("verifier rejected image (exit code 1)"),
        "{refused}"
    );
    assert_eq!(cri.image(&image.by_tag()).await?, None);

    containerd.install_verifier("verifier", Path::new("/bin/true"))?;
    cri.pull(&image.by_tag()).await?;
    Ok(())
}

#[tokio::test]
async fn a_containerd_goes_past_its_verifiers_when_cri_pulls_by_itself() -> Result<()> {
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "app", "v1").await?;
    let mut containerd = Containerd::start(containerd::Options {
        images: "discard_unpacked_layers = true".into(),
        ..containerd::Options::default()
    })
    .await?;
    containerd.install_verifier("verifier", Path::new("/bin/false"))?;
    containerd.cri().await?.pull(&image.by_tag()).await?;

    // The same node with that one line gone, after a restart that keeps its images.
    let config = fs::read_to_string(containerd.config_path())?;
    fs::write(
        containerd.config_path(),
        config.replace("discard_unpacked_layers = true", ""),
    )?;
    containerd.restart().await?;
    let cri = containerd.cri().await?;
    assert!(cri.image(&image.by_tag()).await?.is_some());
    cri.remove(&image.by_tag()).await?;
    cri.pull(&image.by_tag())
        .await
        .expect_err("the verifier refuses");
    Ok(())
}

#[tokio::test]
async fn each_cosign_signs_in_each_format_without_referrers() -> Result<()> {
    signs_in_each_format(&Registry::distribution().await?).await
}

#[tokio::test]
async fn each_cosign_signs_in_each_format_with_referrers() -> Result<()> {
    signs_in_each_format(&Registry::with_referrers().await?).await
}

async fn signs_in_each_format(registry: &Registry) -> Result<()> {
    let stranger = Cosign::new(cosign::Version::V3)?
        .generate_key("stranger")
        .await?;
    for (version, format) in WAYS {
        let cosign = Cosign::new(version)?;
        let key = cosign.generate_key("key").await?;
        let name = format!("{version:?}-{format:?}").to_lowercase();
        let image = Image::push(registry, &name, "v1").await?;

        cosign.sign(&key, format, &image.by_digest()).await?;
        let tags = image.repository.tags().await?;
        let referrers = image.repository.referrers(&image.digest).await?;
        match (format, referrers) {
            (Format::Attachment, _) => assert!(tags.contains(&image.signature_tag()), "{tags:?}"),
            (Format::Bundle, None) => assert!(tags.contains(&image.referrers_tag()), "{tags:?}"),
            (Format::Bundle, Some(referrers)) => assert_eq!(referrers.len(), 1, "{referrers:?}"),
        }

        for verifier in [cosign::Version::V2, cosign::Version::V3] {
            let judge = Cosign::new(verifier)?;
            judge
                .verify(&key.public, format, &image.by_digest())
                .await?;
            judge
                .verify(&stranger.public, format, &image.by_digest())
                .await
                .expect_err("another key has not signed it");
        }
    }
    Ok(())
}

#[tokio::test]
async fn cosign_signs_with_imported_keys_of_other_kinds() -> Result<()> {
    let registry = Registry::distribution().await?;
    for (version, format) in [WAYS[0], WAYS[2]] {
        let cosign = Cosign::new(version)?;
        for (kind, hash) in [
            (Kind::P256, "sha256"),
            (Kind::P384, "sha384"),
            (Kind::P521, "sha512"),
            (Kind::Rsa2048, "sha256"),
        ] {
            let name = format!("{kind:?}-{version:?}-{format:?}").to_lowercase();
            let made = Key::generate(kind)?;
            let key = cosign.import_key(&name, &made).await?;
            assert_eq!(key.pem.trim(), made.public_pem()?.trim());
            let image = Image::push(&registry, &name, "v1").await?.by_digest();
            cosign.sign(&key, format, &image).await?;
            let more = ["--signature-digest-algorithm", hash];
            cosign
                .verify_with(&key.public, format, &image, &more)
                .await?;
        }
    }
    Ok(())
}

/// It signs with Ed25519ph and verifies with Ed25519: nobody can demand the former of us.
#[tokio::test]
async fn cosign_does_not_verify_what_it_signs_with_ed25519() -> Result<()> {
    let registry = Registry::distribution().await?;
    for (version, format) in WAYS {
        let cosign = Cosign::new(version)?;
        let name = format!("{version:?}-{format:?}").to_lowercase();
        let key = cosign
            .import_key("key", &Key::generate(Kind::Ed25519)?)
            .await?;
        let image = Image::push(&registry, &name, "v1").await?.by_digest();
        cosign.sign(&key, format, &image).await?;
        cosign
            .verify(&key.public, format, &image)
            .await
            .expect_err("Ed25519 is not Ed25519ph");
    }
    Ok(())
}

fn zero_digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}
