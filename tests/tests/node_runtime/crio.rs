//! The stand-in of CRI-O's socket: HTTP and gRPC on one socket, with what a CRI-O 1.37 said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use e2e::crio_socket::{CrioSocket, Settings};
use e2e::process::wait_for;
use node_runtime::cri::{Error, MAX_ANSWER, Version};
use node_runtime::crio;

use super::{PULL, client, names};

#[tokio::test]
async fn it_serves_its_configuration_and_the_cri_on_one_socket() -> Result<()> {
    let crio = CrioSocket::start(Settings::default())?;
    let config = crio::config(&crio.socket()).await?;
    assert_eq!(
        config.signature_policy.as_deref(),
        Some("/lab/crio/policy.json")
    );
    assert_eq!(
        config.signature_policy_dir.as_deref(),
        Some("/lab/crio/policies")
    );
    assert_eq!(
        config.pause_image.as_deref(),
        Some("127.0.0.1:5000/pause:3")
    );
    let client = client(&crio.socket());
    let expected = Version {
        name: "cri-o".to_owned(),
        version: "1.37.0".to_owned(),
    };
    assert_eq!(client.version().await?, expected);
    assert!(client.status(false).await?.ready());
    let info = client.status(true).await?.info;
    assert!(info["config"].contains("/lab/crio/oci-hooks"), "{info:?}");
    let images = client.images().await?;
    let pinned: Vec<_> = images.iter().filter(|image| image.pinned).collect();
    assert_eq!((images.len(), pinned.len()), (2, 1));
    assert_eq!(pinned[0].tags, ["127.0.0.1:5000/pause:3"]);
    Ok(())
}

#[tokio::test]
async fn it_says_what_a_test_wants() -> Result<()> {
    let policy = "/etc/crio/a \"policy\"\\.json";
    let crio = CrioSocket::start(Settings {
        version: "1.29.1".to_owned(),
        signature_policy: policy.to_owned(),
        signature_policy_dir: String::new(),
        images: vec![],
        ..Settings::default()
    })?;
    let config = crio::config(&crio.socket()).await?;
    assert_eq!(config.signature_policy.as_deref(), Some(policy));
    assert_eq!(config.signature_policy_dir, None);
    assert_eq!(client(&crio.socket()).version().await?.version, "1.29.1");
    // As after a restart with another drop-in.
    crio.change(|settings| settings.signature_policy = "/other.json".to_owned());
    let config = crio::config(&crio.socket()).await?;
    assert_eq!(config.signature_policy.as_deref(), Some("/other.json"));
    crio.change(|settings| settings.config = Some(b"<html>".to_vec()));
    let error = crio::config(&crio.socket()).await.expect_err("no TOML");
    assert!(matches!(error, crio::Error::Invalid { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_pull_does_what_the_test_says_and_is_recorded() -> Result<()> {
    let crio = CrioSocket::start(Settings {
        images: vec![],
        ..Settings::default()
    })?;
    let client = client(&crio.socket());
    let (tagged, by_digest) = ("a.example:5000/b/c:v1", "a.example/b@sha256:00");
    client.pull(tagged, PULL).await?;
    client.pull(tagged, PULL).await?;
    client.pull(by_digest, PULL).await?;
    let found = names(&client).await?;
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((found[0].as_str(), found[2].as_str()), (tagged, by_digest));
    assert!(
        found[1].starts_with("a.example:5000/b/c@sha256:"),
        "{found:?}"
    );

    crio.refuse("Source image rejected: no signature");
    let error = client.pull("a.example/d:v1", PULL).await;
    let Err(Error::Refused { code, message, .. }) = &error else {
        anyhow::bail!("{error:?}");
    };
    // The gRPC code by its number: Unknown.
    assert_eq!(i32::from(*code), 2);
    assert_eq!(
        message,
        "SignatureValidationFailed: Source image rejected: no signature"
    );
    assert_eq!(client.image("a.example/d:v1").await?, None);

    client.remove(tagged).await?;
    assert_eq!(names(&client).await?, [by_digest]);
    assert_eq!(crio.pulls(), [tagged, tagged, by_digest, "a.example/d:v1"]);
    Ok(())
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_any_more_is_cancelled() -> Result<()> {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    let crio = CrioSocket::start(Settings::default())?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    crio.on_pull(move |_| {
        let under_way = Dropped(Arc::clone(&flag));
        async move {
            let _under_way = under_way;
            std::future::pending().await
        }
    });
    let client = client(&crio.socket());
    let pulling = tokio::spawn(async move { client.pull("a.example/b:v1", PULL).await });
    wait_for("the pull to arrive", PULL, async || {
        Ok((!crio.pulls().is_empty()).then_some(()))
    })
    .await?;
    assert!(!cancelled.load(Ordering::SeqCst));
    // What a deadline does, too.
    pulling.abort();
    wait_for("the pull to be cancelled", PULL, async || {
        Ok(cancelled.load(Ordering::SeqCst).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_runtime_that_ends_within_a_pull_is_no_refusal_and_comes_back() -> Result<()> {
    let mut crio = CrioSocket::start(Settings::default())?;
    crio.on_pull(|_| std::future::pending());
    let client = client(&crio.socket());
    let pulling = tokio::spawn({
        let client = client.clone();
        async move { client.pull("a.example/b:v1", PULL).await }
    });
    wait_for("the pull to arrive", PULL, async || {
        Ok((!crio.pulls().is_empty()).then_some(()))
    })
    .await?;
    crio.stop();
    let pulled = pulling.await?;
    assert!(matches!(pulled, Err(Error::Broken { .. })), "{pulled:?}");
    let version = client.version().await;
    assert!(matches!(version, Err(Error::Connect { .. })), "{version:?}");
    crio.restart()?;
    assert_eq!(client.version().await?.name, "cri-o");
    Ok(())
}

#[tokio::test]
async fn an_answer_without_bounds_is_refused() -> Result<()> {
    let crio = CrioSocket::start(Settings::default())?;
    crio.change(|settings| settings.images[0].id = "x".repeat(MAX_ANSWER));
    let client = client(&crio.socket());
    let error = client.images().await.expect_err("it is too long");
    assert!(
        error.to_string().contains("message length too large"),
        "{error}"
    );
    assert_eq!(client.version().await?.name, "cri-o");
    Ok(())
}
