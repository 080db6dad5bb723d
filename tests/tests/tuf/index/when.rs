//! When a repository is asked, and what is said of it.

use super::*;

#[tokio::test]
async fn a_repository_is_asked_at_once_then_once_an_interval_and_a_little_earlier() -> Result<()> {
    let lab = Lab::start().await?;
    let mut cluster = Cluster::new(source(&lab), lab.now);
    assert_eq!(cluster.jobs(), [], "not before everything was looked at");
    assert_eq!(cluster.settle(), ["root", "policy"]);
    assert_eq!(cluster.condition("Ready"), "False TrustRootNotReady");
    assert_eq!(cluster.condition("Reconciling"), "True TrustRootNotReady");
    assert_eq!(cluster.condition("Stalled"), "");
    assert_eq!(cluster.condition("Refreshed"), "Unknown Pending");
    assert_eq!(cluster.resolved(), "False TrustRootNotReady");

    assert!(cluster.refresh(&lab).await);
    assert_eq!(cluster.settle(), ["root", "policy", "keep"]);
    assert_eq!(cluster.condition("Ready"), "True Resolved");
    assert_eq!(cluster.condition("Refreshed"), "True Refreshed");
    assert_eq!(cluster.condition("Reconciling"), "");
    assert_eq!(cluster.resolved(), "True Resolved");
    assert_eq!(
        cluster.root.status.last_refresh.as_ref().unwrap().0,
        lab.now
    );
    assert_eq!(cluster.root.status.certificate_authorities, Some(1));

    let due = cluster.index.deadline(cluster.now).unwrap();
    assert!(
        due > lab.now + DAY * 9 / 10 && due <= lab.now + DAY,
        "{due}"
    );
    cluster.now = due - SignedDuration::from_secs(1);
    assert_eq!(cluster.jobs(), []);
    cluster.now = due;
    assert!(cluster.refresh(&lab).await);
    assert_eq!(cluster.settle(), ["root", "keep"], "the time alone");
    Ok(())
}

#[tokio::test]
async fn not_all_trust_roots_are_refreshed_at_the_same_time() -> Result<()> {
    let (lab, cluster) = running().await?;
    let Fetched::Found(found) = &cluster.kept else {
        panic!("{:?}", cluster.kept);
    };
    let mut dues = std::collections::BTreeSet::new();
    for number in 0..10 {
        let mut other = Cluster::new(source(&lab), lab.now);
        other.root.name = format!("root-{number}");
        other.root.status = cluster.root.status.clone();
        let kept = Fetched::Found(found.clone());
        other.index = Index::new(Options::default());
        other.list();
        let name = format!("nodeseal-tuf-root-{number}");
        let place = Source {
            name,
            ..Cluster::source()
        };
        other.index.apply(Event::Source(place, kept));
        assert!(other.index.observe());
        dues.insert(other.index.deadline(lab.now).unwrap());
    }
    assert!(dues.len() > 5, "{dues:?}");
    Ok(())
}

#[tokio::test]
async fn a_new_target_is_in_force_after_the_next_refresh() -> Result<()> {
    let (mut lab, mut cluster) = running().await?;
    let (root, policy) = (
        cluster.root.status.digest.clone(),
        cluster.policy.status.digest.clone(),
    );
    lab.repository.publish_target(trusted_root().as_bytes())?;
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    assert_eq!(cluster.settle(), ["root", "policy", "keep"]);
    assert_ne!(cluster.root.status.digest, root);
    assert_ne!(cluster.policy.status.digest, policy);
    Ok(())
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_content_and_is_tried_again_ever_more_seldom() -> Result<()> {
    let (lab, mut cluster) = running().await?;
    let before = cluster.root.status.clone();
    lab.server
        .answer("*", e2e::tuf_repository::Answer::Status(503));
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    assert_eq!(cluster.settle(), ["root"], "no policy, and nothing to keep");
    assert_eq!(cluster.condition("Refreshed"), "False Unreachable");
    let message = cluster.message("Refreshed");
    assert!(
        message.contains("503") && message.contains("HTTPS_PROXY"),
        "{message}"
    );
    assert!(message.contains("stays in force"), "{message}");
    assert_eq!(cluster.condition("Ready"), "True Resolved");
    assert_eq!(cluster.condition("Stalled"), "");
    assert_eq!(cluster.root.status.digest, before.digest);
    assert_eq!(cluster.root.status.last_refresh, before.last_refresh);
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        let due = cluster.index.deadline(cluster.now);
        let next = cluster.now + SignedDuration::from_mins(minutes);
        assert_eq!(due, Some(next));
        cluster.now = next;
        assert!(cluster.refresh(&lab).await);
        assert_eq!(cluster.settle(), [""; 0], "the same words");
    }
    lab.server.behave();
    cluster.now += DAY;
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    assert_eq!(cluster.condition("Refreshed"), "True Refreshed");
    Ok(())
}

#[tokio::test]
async fn a_changed_spec_is_asked_for_at_once() -> Result<()> {
    let (lab, mut cluster) = running().await?;
    cluster.edit(|tuf| tuf.refresh_interval = "12h".to_owned());
    cluster.settle();
    assert!(cluster.refresh(&lab).await);
    assert!(!cluster.refresh(&lab).await, "once");
    Ok(())
}

#[tokio::test]
async fn a_mirror_that_cannot_be_used_from_the_beginning_is_stalled() -> Result<()> {
    let lab = Lab::start().await?;
    lab.repository.put("timestamp.json", "{}");
    let mut cluster = Cluster::new(source(&lab), lab.now);
    cluster.settle();
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    assert_eq!(cluster.condition("Ready"), "False TrustRootNotReady");
    assert_eq!(cluster.condition("Stalled"), "True TrustRootNotReady");
    assert_eq!(cluster.condition("Refreshed"), "False Invalid");
    assert_eq!(cluster.resolved(), "False TrustRootNotReady");
    assert_eq!(cluster.root.status.digest, None);
    cluster.restart();
    assert_eq!(cluster.settle(), [""; 0], "a new process knows no better");
    Ok(())
}

#[tokio::test]
async fn the_public_good_instance_works_without_a_network() -> Result<()> {
    let mut lab = Lab::start().await?;
    let mut cluster = Cluster::new(TufSource::default(), lab.now);
    cluster.settle();
    assert_eq!(cluster.condition("Ready"), "True Resolved");
    assert!(cluster.message("Ready").contains("was built with"));
    assert_eq!(cluster.condition("Refreshed"), "Unknown Pending");
    assert_eq!(cluster.resolved(), "True Resolved");
    // Nobody answers. The test must not ask the real one.
    let mut jobs = cluster.jobs();
    assert_eq!(jobs[0].origin.mirror, operator::tuf::PUBLIC_GOOD_MIRROR);
    let job = jobs.remove(0);
    let http = Http::new(
        client(&[], lab.limits).unwrap(),
        &format!("https://{}", e2e::ports::free()?),
    );
    lab.limits.refresh = Duration::from_secs(5);
    let answer = refresh(
        http.unwrap(),
        &job.origin,
        None,
        cluster.now,
        lab.limits.refresh,
    )
    .await;
    let answer = TufAnswer {
        name: job.name,
        origin: job.origin,
        answer,
    };
    cluster.index.apply(Event::Tuf(Box::new(answer)));
    assert!(!cluster.settle().contains(&"policy"));
    assert_eq!(cluster.condition("Ready"), "True Resolved");
    assert_eq!(cluster.condition("Refreshed"), "False Unreachable");
    assert!(cluster.message("Refreshed").contains("was built with"));
    cluster.restart();
    assert_eq!(cluster.settle(), [""; 0]);
    assert!(cluster.root.status.earliest_expiry.is_some());
    Ok(())
}

#[tokio::test]
async fn an_answer_that_never_comes_is_waited_for_ten_minutes() -> Result<()> {
    let lab = Lab::start().await?;
    let mut cluster = Cluster::new(source(&lab), lab.now);
    cluster.settle();
    assert_eq!(cluster.jobs().len(), 1);
    cluster.now += SignedDuration::from_mins(9);
    assert_eq!(cluster.jobs(), []);
    cluster.now += SignedDuration::from_mins(1);
    assert_eq!(cluster.jobs().len(), 1);
    // Somebody else leads: it is asked again.
    cluster.index.resign();
    assert_eq!(cluster.jobs().len(), 1);
    Ok(())
}

#[tokio::test]
async fn signatures_of_people_that_end_soon_are_told_once() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.repository
        .expires
        .insert(Role::Targets, lab.now + DAY * 20);
    // Machines renew these every few days: that is no news.
    for role in [Role::Timestamp, Role::Snapshot] {
        lab.repository.expires.insert(role, lab.now + DAY * 10);
    }
    lab.repository.publish()?;
    let mut cluster = Cluster::new(source(&lab), lab.now);
    cluster.settle();
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    assert_eq!(cluster.condition("Expiring"), "");
    let fresh = (lab.now + DAY * 10).to_string();
    assert!(cluster.message("Refreshed").contains(&fresh));
    lab.server
        .answer("*", e2e::tuf_repository::Answer::Status(503));
    cluster.now += DAY * 6;
    cluster.settle();
    assert_eq!(cluster.condition("Expiring"), "True Expiring");
    let message = cluster.message("Expiring");
    assert!(message.contains("the targets of https://"), "{message}");
    assert_eq!(cluster.told.len(), 1);
    let notice = cluster.told.values().next().unwrap();
    assert_eq!(notice.kind.as_str(), "TrustRootExpiring");
    assert_eq!(notice.kind.severity(), "Warning");
    assert_eq!(
        (notice.object_kind(), notice.object_name()),
        ("TrustRoot", NAME)
    );
    assert!(
        notice.note.contains("ends within 14 days"),
        "{}",
        notice.note
    );
    cluster.restart();
    cluster.now += DAY;
    cluster.settle();
    assert_eq!(cluster.told.len(), 1);
    // They have ended: that is still so.
    cluster.now += DAY * 30;
    cluster.settle();
    assert_eq!(cluster.condition("Expiring"), "True Expiring");
    assert_eq!(cluster.condition("Ready"), "True Resolved");
    Ok(())
}
