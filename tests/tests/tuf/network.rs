//! What a network does.

use super::*;
use e2e::tuf_repository::Answer;

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.limits = short();
    lab.server.answer("timestamp.json", Answer::Stall);
    lab.refused(Why::Unreachable).await;
    lab.server.behave();
    lab.limits = Limits::default();
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn a_server_that_sends_one_byte_after_another_is_given_up() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.limits = short();
    lab.server.answer("timestamp.json", Answer::Drip);
    lab.refused(Why::Unreachable).await;
    Ok(())
}

#[tokio::test]
async fn a_refresh_as_a_whole_has_a_deadline() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.limits.refresh = Duration::from_secs(1);
    lab.server
        .answer(&lab.repository.target_path(), Answer::Stall);
    let message = lab.refused(Why::Unreachable).await;
    assert!(message.ends_with("took more than 1 s"), "{message}");
    // What was verified until then is remembered.
    lab.server.behave();
    let old = lab.repository.file("1.snapshot.json")?;
    assert!(lab.state.as_ref().unwrap().to_text().len() > old.len());
    lab.repository.versions.insert(Role::Timestamp, 1);
    lab.repository.publish_timestamp()?;
    lab.refused(Why::Rollback).await;
    Ok(())
}

#[tokio::test]
async fn a_file_without_an_end_is_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    for name in [
        "2.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
    ] {
        lab.server.answer(name, Answer::Endless);
        lab.refused(Why::TooLarge).await;
        lab.server.behave();
    }
    lab.server
        .answer(&lab.repository.target_path(), Answer::Endless);
    lab.refused(Why::TooLarge).await;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_no_file() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.server.answer("timestamp.json", Answer::CutOff);
    lab.refused(Why::Unreachable).await;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_well_is_unreachable_and_its_roots_are_not_at_their_end() -> Result<()>
{
    for status in [500, 503, 429, 401] {
        let mut lab = Lab::refreshed().await?;
        lab.server.answer("2.root.json", Answer::Status(status));
        let message = lab.refused(Why::Unreachable).await;
        assert!(message.contains(&status.to_string()), "{message}");
    }
    // Object stores say 403 of what is not there.
    let mut lab = Lab::refreshed().await?;
    lab.server.answer("2.root.json", Answer::Status(403));
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_asked() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    let other = Server::start(&lab.repository).await?;
    lab.ca = other.ca().to_owned();
    lab.server.asked();
    lab.refused(Why::Unreachable).await;
    assert_eq!(lab.server.asked(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn nobody_behind_the_address_is_unreachable() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.origin.mirror = format!("https://{}/x", e2e::ports::free()?);
    lab.refused(Why::Unreachable).await;
    Ok(())
}

#[tokio::test]
async fn only_https_is_spoken_also_after_a_redirect() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    let plain = lab.server.url().replace("https://", "http://");
    let to = format!("{plain}/timestamp.json");
    lab.server.answer("timestamp.json", Answer::Redirect(to));
    let message = lab.refused(Why::Unreachable).await;
    assert!(message.contains("scheme is not allowed"), "{message}");
    lab.server.behave();
    // One to https is followed.
    lab.repository.publish_target(trusted_root().as_bytes())?;
    let moved = lab.repository.file("2.targets.json")?;
    lab.repository.put("moved.json", moved);
    let to = format!("{}/moved.json", lab.server.url());
    lab.server.answer("2.targets.json", Answer::Redirect(to));
    lab.good().await;
    // Not for ever.
    let to = format!("{}/timestamp.json", lab.server.url());
    lab.server.answer("timestamp.json", Answer::Redirect(to));
    lab.refused(Why::Unreachable).await;
    lab.origin.mirror = plain;
    lab.state = None;
    let message = lab.refused(Why::Unreachable).await;
    assert!(message.contains("scheme is not allowed"), "{message}");
    Ok(())
}

#[test]
fn a_file_with_authorities_has_at_least_one() {
    assert!(certificates(b"").unwrap_err().contains("no certificate"));
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(certificates(broken).is_err());
}

/// Runs another test of this program with these variables, and says whether it passes.
fn passes_with(variables: &[(&str, &str)]) -> bool {
    let name = "a_target_is_fetched_and_only_what_is_new_is_fetched_again";
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name]);
    for variable in [
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(variable);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    output.status.success()
}

#[test]
fn the_proxy_of_the_environment_is_heeded() {
    let nobody = format!("http://{}", e2e::ports::free().unwrap());
    assert!(passes_with(&[]));
    assert!(!passes_with(&[("HTTPS_PROXY", &nobody)]));
    assert!(passes_with(&[
        ("HTTPS_PROXY", &nobody),
        ("NO_PROXY", "127.0.0.1")
    ]));
}
