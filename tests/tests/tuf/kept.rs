//! What is kept is a cache, and no authority.

use super::*;

/// The state with one change to its text.
fn changed(lab: &Lab, from: &str, to: &str) -> Option<State> {
    let text = lab.state.as_ref().unwrap().to_text();
    assert!(text.contains(from), "{from}");
    State::read(&text.replacen(from, to, 1), &lab.origin)
}

#[tokio::test]
async fn what_is_kept_is_verified_again_when_it_is_read() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    for (from, to, why) in [
        // The target.
        (
            "certificateAuthorities",
            "certificateauthorities",
            Why::Mismatch,
        ),
        // The metadata: its keys do not fit what they signed.
        (
            r#"\"_type\": \"timestamp\""#,
            r#"\"_type\": \"timestamp\", \"x\": 1"#,
            Why::BadSignature,
        ),
        (
            r#"\"_type\": \"targets\""#,
            r#"\"_type\": \"targets\", \"x\": 1"#,
            Why::BadSignature,
        ),
        // No file at all.
        (r#""timestamp.json":"#, r#""elsewhere.json":"#, Why::Invalid),
    ] {
        let state = changed(&lab, from, to).unwrap();
        assert_eq!(state.verified(&lab.origin).unwrap_err().why, why, "{from}");
    }
    // It does no harm either: the next refresh begins anew.
    lab.state = changed(&lab, "certificateAuthorities", "certificateauthorities");
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn what_is_kept_of_another_repository_is_of_no_use() -> Result<()> {
    let lab = Lab::refreshed().await?;
    let text = lab.state.as_ref().unwrap().to_text();
    assert!(State::read(&text, &lab.origin).is_some());
    let other = TufRepository::new(TARGET, trusted_root().as_bytes(), lab.now)?;
    let changes: [fn(&mut Origin, String); 3] = [
        |origin, _| origin.mirror.push_str("/other"),
        |origin, root| origin.root = root,
        |origin, _| origin.target = "other.json".to_owned(),
    ];
    for change in changes {
        let mut origin = lab.origin.clone();
        change(&mut origin, other.root_json(1)?);
        assert!(State::read(&text, &origin).is_none());
    }
    // Nor what is damaged, or of another version.
    for (from, to) in [
        ("{", "["),
        ("\"format\":1", "\"format\":2"),
        ("\"revision\"", "\"other\""),
    ] {
        assert!(changed(&lab, from, to).is_none(), "{from}");
    }
    Ok(())
}

#[tokio::test]
async fn another_mirror_begins_anew_with_its_own_root() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    let other = TufRepository::new(TARGET, trusted_root().as_bytes(), lab.now)?;
    let server = Server::start(&other).await?;
    // The mirror alone is another, and serves what another owner signed.
    lab.origin.mirror = server.url();
    lab.ca = server.ca().to_owned();
    lab.restart();
    assert_eq!(lab.digest(), None);
    lab.refused(Why::BadSignature).await;
    // With its root it is fine.
    lab.origin.root = other.root_json(1)?;
    lab.restart();
    lab.repository = other;
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn content_stays_good_after_its_signatures_have_ended() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    let content = lab.state.as_ref().unwrap().verified(&lab.origin).unwrap();
    assert_eq!(content.fresh_until, lab.now + DAY * 365);
    let roles: Vec<&str> = content.ends.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, ["root", "targets"]);
    lab.now += DAY * 400;
    lab.refused(Why::Expired).await;
    assert!(lab.digest().is_some());
    Ok(())
}

#[test]
fn the_public_good_instance_is_known_without_a_network() {
    let spec = crds::types::TufSource::default();
    let tuf = crds::convert::tuf(&spec).unwrap();
    let origin = Origin::of(&tuf).unwrap();
    assert!(origin.public_good && origin.mirror.starts_with("https://"));
    TrustRoot::from_trusted_root_json(policy::trust::PUBLIC_GOOD).unwrap();
}

#[tokio::test]
async fn what_a_role_below_the_targets_lists_is_kept_with_it_while_it_is_used() -> Result<()> {
    let mut lab = Lab::start().await?;
    let below = trusted_root();
    lab.repository
        .publish_delegated("below", below.as_bytes())?;
    lab.good().await;
    let text = |lab: &Lab| lab.state.as_ref().unwrap().to_text();
    assert!(text(&lab).contains(r#""below.json":"#));
    // What is kept of it is verified, too.
    let state = changed(&lab, r#""below.json":"#, r#""other.json":"#).unwrap();
    assert!(state.verified(&lab.origin).is_err());
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    assert!(!text(&lab).contains(r#""below.json":"#));
    Ok(())
}
