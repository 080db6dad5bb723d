//! A real containerd: what it says of itself, its process, and what becomes of both when it ends.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use e2e::{Containerd, Image, Registry, containerd};
use node_runtime::cri::{Error, Version};
use node_runtime::process::{self, Found, Socket, containerd_config_path};
use node_runtime::{cri, crio};

use super::{PULL, client, names};

const PROC: &str = "/proc";

async fn start() -> Result<Containerd> {
    Containerd::start(containerd::Options::default()).await
}

async fn behind(containerd: &Containerd) -> Result<process::Process> {
    let socket = containerd.socket();
    Ok(process::behind(Path::new(PROC), Socket::at(&socket)).await?)
}

#[tokio::test]
async fn it_says_what_it_is_and_how_it_is() -> Result<()> {
    let containerd = start().await?;
    let client = client(&containerd.socket());
    let expected = Version {
        name: "containerd".to_owned(),
        version: "v2.2.1".to_owned(),
    };
    assert_eq!(client.version().await?, expected);
    let status = client.status(false).await?;
    assert!(status.ready(), "{status:?}");
    assert!(status.info.is_empty(), "{status:?}");
    let status = client.status(true).await?;
    let config = status.info.get("config").context("a configuration")?;
    assert!(config.starts_with('{'), "{config}");
    Ok(())
}

#[tokio::test]
async fn it_pulls_lists_and_removes_images() -> Result<()> {
    let (containerd, registry) = tokio::try_join!(start(), Registry::distribution())?;
    let client = client(&containerd.socket());
    assert_eq!(client.images().await?, []);
    let image = Image::push(&registry, "team/app", "v1").await?;
    let id = client.pull(&image.by_tag(), PULL).await?;
    let images = client.images().await?;
    assert_eq!(images.len(), 1, "{images:?}");
    assert_eq!(images[0].id, id);
    assert_eq!(images[0].tags, [image.by_tag()]);
    assert_eq!(images[0].digests, [image.by_digest()]);
    assert!(!images[0].pinned);
    let found = client.image(&image.by_digest()).await?;
    assert_eq!(found.as_ref(), images.first());
    client.remove(&image.by_tag()).await?;
    assert_eq!(client.image(&image.by_tag()).await?, None);
    assert_eq!(names(&client).await?, [""; 0]);
    client.remove(&image.by_tag()).await?;
    Ok(())
}

#[tokio::test]
async fn its_refusal_of_a_pull_keeps_code_and_text() -> Result<()> {
    let (containerd, registry) = tokio::try_join!(start(), Registry::distribution())?;
    let client = client(&containerd.socket());
    let missing = registry.repository("team/none").full_name();
    let error = client.pull(&format!("{missing}:v1"), PULL).await;
    let error = error.expect_err("there is no such image");
    let Error::Refused { code, message, .. } = &error else {
        anyhow::bail!("{error:?}");
    };
    // The gRPC code by its number, as the CRI has it: NotFound.
    assert_eq!(i32::from(*code), 5);
    assert!(message.contains(&missing), "{message}");
    assert!(
        error
            .to_string()
            .starts_with("PullImage failed with NotFound: failed to pull")
    );
    Ok(())
}

#[tokio::test]
async fn its_process_is_known_with_its_configuration() -> Result<()> {
    let before = SystemTime::now();
    let containerd = start().await?;
    let found = behind(&containerd).await?;
    assert_eq!(Some(found.start.pid), containerd.id());
    assert_eq!(
        (found.found, found.runtime()),
        (Found::Listener, Some("containerd"))
    );
    let config = containerd_config_path(&found.argv, found.cwd.as_deref());
    let config = config.context("an absolute path")?;
    assert_eq!(
        (config.path, config.given),
        (containerd.config_path(), true)
    );
    assert!(!found.exe_replaced);
    assert_eq!(found.root.as_deref(), Some(Path::new("/")));
    // Times of a start are rounded.
    let rounding = Duration::from_secs(2);
    let span = before - rounding..SystemTime::now() + rounding;
    assert!(span.contains(&found.started_at), "{found:?}, {span:?}");
    Ok(())
}

#[tokio::test]
async fn it_is_another_after_a_restart_and_the_same_client_goes_on() -> Result<()> {
    let mut containerd = start().await?;
    let client = client(&containerd.socket());
    let version = client.version().await?;
    let first = behind(&containerd).await?;
    assert_eq!(behind(&containerd).await?, first);
    assert!(process::runs(Path::new(PROC), &first.start)?);

    containerd.stop()?;
    assert!(!process::runs(Path::new(PROC), &first.start)?);
    let error = client.version().await.expect_err("nobody is there");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let error = behind(&containerd).await.expect_err("nobody is there");
    assert!(
        error.to_string().contains("Connection refused"),
        "{error:#}"
    );

    containerd.restart().await?;
    assert_eq!(client.version().await?, version);
    let second = behind(&containerd).await?;
    assert_ne!(second.start, first.start);
    assert_eq!(second.start.boot_id, first.start.boot_id);
    assert_eq!(second.argv, first.argv);
    assert!(second.started_at >= first.started_at);
    Ok(())
}

#[tokio::test]
async fn it_serves_no_configuration_over_http() -> Result<()> {
    let containerd = start().await?;
    let error = crio::config(&containerd.socket()).await;
    let error = error.expect_err("it is no CRI-O");
    assert!(matches!(error, crio::Error::Http { .. }), "{error:?}");
    // It goes on.
    let version = client(&containerd.socket()).version().await;
    assert!(matches!(version, Ok(cri::Version { .. })), "{version:?}");
    Ok(())
}
