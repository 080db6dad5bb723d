//! What lives on over processes, leaders and specs.

use super::*;

#[tokio::test]
async fn a_new_process_writes_nothing_and_asks_when_it_is_due() -> Result<()> {
    let (lab, mut cluster) = running().await?;
    cluster.now += DAY / 2;
    cluster.restart();
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.jobs(), []);
    // One that failed is tried at once, and says the same until there is another answer.
    lab.server
        .answer("*", e2e::tuf_repository::Answer::Status(503));
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    assert_eq!(cluster.settle(), ["root"]);
    cluster.restart();
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.condition("Refreshed"), "False Unreachable");
    assert!(cluster.refresh(&lab).await);
    assert_eq!(cluster.settle(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_rollback_is_refused_by_the_next_leader_too() -> Result<()> {
    let (mut lab, mut cluster) = running().await?;
    let old = lab.repository.file("timestamp.json")?;
    lab.repository.publish_target(trusted_root().as_bytes())?;
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    let digest = cluster.root.status.digest.clone();
    lab.repository.put("timestamp.json", old);
    cluster.restart();
    assert_eq!(cluster.settle(), [""; 0]);
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    assert_eq!(cluster.condition("Refreshed"), "False Rollback");
    assert_eq!(cluster.root.status.digest, digest);
    Ok(())
}

#[tokio::test]
async fn another_mirror_begins_anew_and_policies_keep_what_they_have() -> Result<()> {
    let (_, mut cluster) = running().await?;
    let policy = cluster.policy.status.digest.clone();
    let other = Lab::start().await?;
    cluster.edit(|tuf| *tuf = source(&other));
    cluster.settle();
    assert_eq!(cluster.condition("Ready"), "False TrustRootNotReady");
    assert_eq!(cluster.root.status.last_refresh, None);
    assert_eq!(cluster.resolved(), "False TrustRootNotReady");
    assert_eq!(cluster.policy.status.digest, policy);
    let jobs = cluster.jobs();
    assert!(jobs[0].state.is_none(), "nothing of the other one");
    cluster.answer(&other, &jobs[0]).await;
    cluster.settle();
    assert_eq!(cluster.resolved(), "True Resolved");
    assert_ne!(cluster.policy.status.digest, policy);
    Ok(())
}

#[tokio::test]
async fn an_answer_about_what_the_spec_no_longer_says_is_void() -> Result<()> {
    let lab = Lab::start().await?;
    let mut cluster = Cluster::new(source(&lab), lab.now);
    cluster.settle();
    let jobs = cluster.jobs();
    let other = Lab::start().await?;
    cluster.edit(|tuf| *tuf = source(&other));
    cluster.settle();
    let next = cluster.jobs();
    cluster.answer(&lab, &jobs[0]).await;
    cluster.settle();
    assert_eq!(cluster.condition("Ready"), "False TrustRootNotReady");
    cluster.answer(&other, &next[0]).await;
    cluster.settle();
    assert_eq!(cluster.condition("Ready"), "True Resolved");
    Ok(())
}

#[tokio::test]
async fn who_does_not_lead_takes_over_what_the_leader_keeps() -> Result<()> {
    let (mut lab, mut cluster) = running().await?;
    let mut follower = Cluster::new(source(&lab), lab.now);
    follower.root = cluster.root.clone();
    follower.policy = cluster.policy.clone();
    follower.kept = cluster.kept.clone();
    follower.restart();
    assert!(follower.index.observe());
    lab.repository.publish_target(trusted_root().as_bytes())?;
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    follower.now = cluster.now;
    follower.root = cluster.root.clone();
    follower.policy = cluster.policy.clone();
    follower.list();
    follower.keep(cluster.kept.clone());
    assert!(follower.index.observe());
    // It leads now.
    assert_eq!(follower.settle(), [""; 0]);
    assert_eq!(follower.jobs(), []);
    // What is older does not take its place, and is replaced.
    let newer = follower.kept.clone();
    follower.now += DAY;
    assert!(follower.refresh(&lab).await);
    follower.settle();
    follower.keep(newer);
    assert_eq!(follower.settle(), ["keep"]);
    Ok(())
}

#[tokio::test]
async fn what_is_kept_is_written_again_when_it_is_gone_or_damaged() -> Result<()> {
    let (_lab, mut cluster) = running().await?;
    for gone in [
        Fetched::Missing,
        text("{}"),
        Fetched::Found(Found::default()),
    ] {
        let good = cluster.kept.clone();
        cluster.keep(gone.clone());
        if matches!(&gone, Fetched::Found(found) if found.values.is_empty()) {
            // A key that was not asked for says nothing.
            cluster.keep(good);
            continue;
        }
        assert_eq!(cluster.settle(), ["keep"], "{gone:?}");
        assert_eq!(cluster.condition("Ready"), "True Resolved");
    }
    // A process that finds it gone begins anew; the policy keeps its form.
    cluster.kept = Fetched::Missing;
    cluster.restart();
    assert_eq!(cluster.jobs(), []);
    cluster.settle();
    assert_eq!(cluster.jobs().len(), 1);
    Ok(())
}

#[tokio::test]
async fn nothing_is_asked_while_what_is_kept_cannot_be_read() -> Result<()> {
    let lab = Lab::start().await?;
    for failed in [
        Fetched::Unreadable("timed out".to_owned()),
        Fetched::Forbidden,
        // It is there, and too long.
        Fetched::Found(Found {
            values: [("state".to_owned(), Some(Err("it is too long".to_owned())))].into(),
            known: vec!["state".to_owned()],
        }),
    ] {
        let mut cluster = Cluster::new(source(&lab), lab.now);
        cluster.kept = failed;
        cluster.restart();
        cluster.settle();
        assert_eq!(cluster.condition("Ready"), "Unknown NotRead");
        assert_eq!(cluster.condition("Reconciling"), "True NotRead");
        assert_eq!(cluster.jobs(), [], "an older state would pass");
        cluster.keep(Fetched::Missing);
        cluster.settle();
        assert_eq!(cluster.jobs().len(), 1);
    }
    Ok(())
}
