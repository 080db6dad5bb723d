//! A mirror, or somebody on the way to it, serves what its owner does not.

use super::*;

#[tokio::test]
async fn a_root_that_the_old_key_has_not_signed_is_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.usurp_root()?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    let message = lab.refused(Why::BadSignature).await;
    assert!(message.contains("root"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_root_of_an_older_version_is_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.renew_root()?;
    lab.good().await;
    let old = lab.repository.file("1.root.json")?;
    lab.repository.put("3.root.json", old);
    lab.refused(Why::Rollback).await;
    Ok(())
}

#[tokio::test]
async fn a_root_that_leaves_a_version_out_is_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.renew_root()?;
    lab.repository.renew_root()?;
    let third = lab.repository.file("3.root.json")?;
    lab.repository.put("2.root.json", third);
    lab.refused(Why::Mismatch).await;
    Ok(())
}

#[tokio::test]
async fn metadata_by_a_key_that_the_root_does_not_name_is_refused() -> Result<()> {
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        let mut lab = Lab::refreshed().await?;
        lab.repository.usurp(role)?;
        lab.repository.publish_target(trusted_root().as_bytes())?;
        let message = lab.refused(Why::BadSignature).await;
        assert!(message.contains(role.name()), "{message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_target_that_was_changed_after_it_was_signed_is_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    let mut bytes = lab.repository.content.clone();
    *bytes.last_mut().unwrap() = b' ';
    lab.repository.put(&lab.repository.target_path(), bytes);
    lab.refused(Why::Mismatch).await;
    Ok(())
}

#[tokio::test]
async fn expired_metadata_is_refused_and_what_was_refreshed_before_stays() -> Result<()> {
    for role in Role::ALL {
        let mut lab = Lab::refreshed().await?;
        lab.repository.expires.insert(role, lab.now - DAY);
        if role == Role::Root {
            lab.repository.renew_root()?;
        }
        lab.repository.publish_target(trusted_root().as_bytes())?;
        let message = lab.refused(Why::Expired).await;
        assert!(message.contains(role.name()), "{message}");
        // Once its owner signs anew all is well.
        lab.repository.expires.insert(role, lab.now + DAY);
        lab.repository.renew_root()?;
        lab.repository.publish()?;
        lab.good().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_freeze_is_found_out_when_the_timestamp_ends() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.repository
        .expires
        .insert(Role::Timestamp, lab.now + DAY);
    lab.repository.publish()?;
    lab.good().await;
    // The owner goes on, and the mirror serves what it had.
    let frozen = lab.repository.all();
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.repository.put_back(frozen);
    lab.now += DAY / 2;
    lab.refresh().await.unwrap();
    lab.now += DAY;
    let message = lab.refused(Why::Expired).await;
    assert!(message.contains("timestamp"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_older_timestamp_is_refused_also_by_the_next_process() -> Result<()> {
    let mut lab = Lab::start().await?;
    let old = lab.repository.file("timestamp.json")?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    lab.repository.put("timestamp.json", old);
    let message = lab.refused(Why::Rollback).await;
    assert!(message.contains("timestamp"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_older_snapshot_in_a_newer_timestamp_is_refused() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    // Both files are signed; the timestamp's key was stolen.
    lab.repository.versions.insert(Role::Snapshot, 2);
    lab.repository.publish_timestamp()?;
    let message = lab.refused(Why::Rollback).await;
    assert!(message.contains("snapshot"), "{message}");
    Ok(())
}

#[tokio::test]
async fn older_targets_in_a_newer_snapshot_are_refused() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    lab.repository.versions.insert(Role::Targets, 2);
    lab.repository.publish_snapshot()?;
    lab.repository.publish_timestamp()?;
    let message = lab.refused(Why::Rollback).await;
    assert!(message.contains("targets.json"), "{message}");
    Ok(())
}

#[tokio::test]
async fn targets_that_are_gone_from_a_newer_snapshot_are_refused() -> Result<()> {
    let mut lab = Lab::refreshed().await?;
    let mut signed = lab.repository.signed(Role::Snapshot);
    signed["meta"] = serde_json::json!({ "other.json": { "version": 1 } });
    let bytes = lab.repository.sign(Role::Snapshot, &signed)?;
    lab.repository.put("2.snapshot.json", bytes);
    lab.repository.versions.insert(Role::Snapshot, 3);
    lab.repository.publish_timestamp()?;
    lab.refused(Why::Rollback).await;
    Ok(())
}

#[tokio::test]
async fn older_targets_are_refused_after_a_refresh_that_came_to_the_timestamp_only() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    lab.good().await;
    // A timestamp whose snapshot cannot be had yet: what the timestamp names does not fit the last
    // snapshot any more, which has to be remembered all the same.
    lab.repository.versions.insert(Role::Targets, 2);
    lab.repository.publish_snapshot()?;
    lab.repository.publish_timestamp()?;
    let snapshot = lab.repository.file("3.snapshot.json")?;
    lab.repository.remove("3.snapshot.json");
    lab.refused(Why::Missing).await;
    lab.repository.put("3.snapshot.json", snapshot);
    let message = lab.refused(Why::Rollback).await;
    assert!(message.contains("targets.json"), "{message}");
    // The owner's own next version is fine.
    lab.repository.versions.insert(Role::Targets, 3);
    lab.repository.publish()?;
    lab.good().await;
    Ok(())
}

#[tokio::test]
async fn a_mix_of_old_and_new_metadata_is_refused() -> Result<()> {
    for (new, old) in [
        ("2.snapshot.json", "1.snapshot.json"),
        ("2.targets.json", "1.targets.json"),
    ] {
        let mut lab = Lab::refreshed().await?;
        lab.repository.publish_target(trusted_root().as_bytes())?;
        let bytes = lab.repository.file(old)?;
        lab.repository.put(new, bytes);
        lab.refused(Why::Mismatch).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_target_whose_name_leads_out_of_the_repository_is_not_asked_for() -> Result<()> {
    for hash in [
        "../../elsewhere",
        "//127.0.0.1:1/x",
        "https://127.0.0.1:1/x",
    ] {
        let mut lab = Lab::refreshed().await?;
        let mut signed = lab.repository.signed(Role::Targets);
        let target = serde_json::json!({ "length": 5, "hashes": { "sha256": hash } });
        signed["targets"] = serde_json::json!({ TARGET: target });
        let bytes = lab.repository.sign(Role::Targets, &signed)?;
        lab.repository.put("2.targets.json", bytes);
        lab.repository.versions.insert(Role::Targets, 3);
        lab.repository.publish_snapshot()?;
        lab.repository.publish_timestamp()?;
        lab.server.asked();
        let message = lab.refused(Why::Invalid).await;
        assert!(message.contains("has the name"), "{message}");
        let asked = lab.server.asked();
        assert!(
            !asked.iter().any(|name| name.contains("elsewhere")),
            "{asked:?}"
        );
    }
    Ok(())
}
