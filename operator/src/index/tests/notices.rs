//! What is told as events, and that nothing else is.

use crds::types::{DefaultAction, Drift, EnforcementConfigSpec, RefusedImage, UnverifiedImages};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use policy::aggregate::{Finding, Truth};

use super::running;
use super::world::{World, cluster, kinds, namespaced, report, selecting, spec};
use crate::index::{News, Notice, Subject, Write};

const IMAGE: &str = "registry.example/team/app:1";

fn refused(pairs: &[(&str, &str)]) -> News {
    let pair = |(image, reason): &(&str, &str)| RefusedImage {
        image: (*image).to_owned(),
        reason: (*reason).to_owned(),
    };
    News {
        refused: pairs.iter().map(pair).collect(),
        ..News::default()
    }
}

fn unverified(count: i32, images: &[&str]) -> News {
    let first = images.iter().map(|image| (*image).to_owned()).collect();
    News {
        unverified: Some(UnverifiedImages { count, first }),
        ..News::default()
    }
}

fn tells(world: &mut World, node: &str, news: News) {
    let mut own = world.node_policies[node].clone();
    own.news = news;
    world.change_node_policy(own);
}

/// Lets the gathering end, and returns what was written.
fn soon(world: &mut World) -> Vec<String> {
    world.now += SignedDuration::from_secs(10);
    kinds(&world.settle())
}

fn last(world: &World) -> &Notice {
    let latest = world.events.values().max_by_key(|notice| notice.time);
    latest.unwrap()
}

#[test]
fn a_refused_image_is_told_once_on_the_policies_that_cover_it() {
    let (mut world, _) = running();
    world.apply_policy(&cluster("q"), spec("registry.example"));
    world.apply_policy(&cluster("other"), spec("other.example"));
    world.later();
    world.agents_apply();
    world.later();
    tells(&mut world, "a", refused(&[(IMAGE, "NoSignature")]));
    tells(&mut world, "b", refused(&[(IMAGE, "NoSignature")]));
    assert_eq!(soon(&mut world), ["ImagesRefused p", "ImagesRefused q"]);
    let notice = world.events.values().next().unwrap();
    assert_eq!(
        notice.note,
        "1 image refused on 2 nodes in the last hour: registry.example/team/app:1 (NoSignature, on 2 nodes). `nodeseal verify IMAGE` shows what was found and what is missing: sign the image, or mend what covers it"
    );
    assert_eq!(
        notice.uid,
        world.policies[&cluster(notice.object_name())].meta.uid
    );
    assert_eq!(
        (notice.namespace(), notice.object_namespace()),
        ("default", None)
    );

    // It is tried again and again, on more nodes.
    assert_eq!(world.later(), []);
    world.resync();
    assert_eq!(world.later(), []);

    // Another image comes; then only one is left.
    let two = [
        (IMAGE, "NoSignature"),
        ("registry.example/team/b:1", "TimedOut"),
    ];
    tells(&mut world, "b", refused(&two));
    world.now += SignedDuration::from_mins(5);
    assert_eq!(soon(&mut world), ["ImagesRefused p", "ImagesRefused q"]);
    let note = &last(&world).note;
    assert!(
        note.contains("2 images refused on 2 nodes in the last hour: registry.example/team/b:1 (TimedOut, on b), registry.example/team/app:1"),
        "what is new is first: {note}"
    );
    tells(&mut world, "a", News::default());
    tells(&mut world, "b", News::default());
    assert_eq!(world.later(), []);
    assert_eq!(world.events.len(), 4);
}

#[test]
fn what_comes_up_within_five_minutes_waits_and_its_time_is_known() {
    let (mut world, _) = running();
    tells(&mut world, "a", refused(&[(IMAGE, "NoSignature")]));
    let due = world.index.deadline(world.now).unwrap();
    assert!(due <= world.now + SignedDuration::from_secs(10));
    assert_eq!(soon(&mut world), ["ImagesRefused p"]);
    let told = last(&world).time;
    let more = [(IMAGE, "NoSignature"), (IMAGE, "TimedOut")];
    tells(&mut world, "a", refused(&more));
    assert_eq!(soon(&mut world), [""; 0]);
    world.now = world.index.deadline(world.now).unwrap();
    assert_eq!(world.now, told + SignedDuration::from_mins(5));
    assert_eq!(kinds(&world.settle()), ["ImagesRefused p"]);
    assert_eq!(world.later(), []);
}

#[test]
fn a_new_process_and_a_new_leader_tell_nothing_again() {
    let (mut world, _) = running();
    tells(&mut world, "a", refused(&[(IMAGE, "NoSignature")]));
    let mut own = world.node_policies["b"].clone();
    own.report = Some(report(Truth::False, "RolledBack", Truth::False));
    own.news.applied_since = Some(world.now);
    world.change_node_policy(own);
    soon(&mut world);
    assert_eq!(world.events.len(), 2);
    let names: Vec<_> = world.events.keys().cloned().collect();
    world.index.resign();
    world.later();
    world.restart();
    world.later();
    assert_eq!(world.events.keys().cloned().collect::<Vec<_>>(), names);

    // What is told of a node is no news any more after an hour, when the API server forgets it.
    world.events.clear();
    world.now += SignedDuration::from_hours(1);
    world.restart();
    let told = world.later();
    assert_eq!(kinds(&told), ["ImagesRefused p"], "it is still refused");
}

#[test]
fn the_default_action_is_the_configurations_affair() {
    let (mut world, _) = running();
    let other = "elsewhere.example/app:1";
    tells(&mut world, "a", refused(&[(other, "NotAllowed")]));
    assert_eq!(soon(&mut world), [""; 0], "nothing covers it");
    let config = EnforcementConfigSpec {
        default_action: DefaultAction::Reject,
        exempt_images: vec!["exempt.example".to_owned()],
        ..EnforcementConfigSpec::default()
    };
    world.configure(config);
    world.settle();
    world.agents_apply();
    let pairs = [
        (other, "NotAllowed"),
        ("exempt.example/app:1", "NotAllowed"),
        ("Not A Name", "InvalidReference"),
    ];
    tells(&mut world, "a", refused(&pairs));
    let written = soon(&mut world);
    let told = |kind: &&String| kind.starts_with("ImagesRefused");
    let told: Vec<_> = written.iter().filter(told).collect();
    assert_eq!(told, ["ImagesRefused default"]);
    let notice = last(&world);
    assert_eq!(notice.subject, Subject::Config);
    assert_eq!(notice.object_kind(), "EnforcementConfig");
    assert!(
        notice.note.starts_with("2 images refused on a"),
        "{}",
        notice.note
    );
    assert!(!notice.note.contains("exempt.example"));
}

#[test]
fn the_bundle_that_a_node_runs_says_what_covers() {
    let (mut world, _) = running();
    let prod = selecting(spec("registry.example/team"), "pool", "prod");
    world.apply_policy(&cluster("prod"), prod);
    world.apply_policy(&namespaced("ns", "own"), spec("registry.example/team"));
    let mut audit = spec("registry.example/team");
    audit.policy.mode = crds::types::Mode::Audit;
    world.apply_policy(&cluster("audit"), audit);
    world.later();
    world.agents_apply();
    world.later();
    // Node b is in no pool; a policy in audit mode refuses nothing; containerd knows no namespaces.
    tells(&mut world, "b", refused(&[(IMAGE, "NoSignature")]));
    assert_eq!(soon(&mut world), ["ImagesRefused p"]);
    // A node whose bundle nobody knows says nothing about policies.
    let mut own = world.node_policies["a"].clone();
    own.applied = Some("sha256-else".to_owned());
    own.news = refused(&[("registry.example/team/x", "NoSignature")]);
    world.change_node_policy(own);
    world.now += SignedDuration::from_mins(6);
    let written = kinds(&world.settle());
    let told = written.iter().any(|kind| kind.starts_with("ImagesRefused"));
    assert!(!told, "{written:?}");
}

#[test]
fn images_without_a_verdict_are_told_on_policies_in_audit_mode_too() {
    let (mut world, _) = running();
    let mut audit = spec("registry.example");
    audit.policy.mode = crds::types::Mode::Audit;
    world.apply_policy(&cluster("audit"), audit);
    world.later();
    world.agents_apply();
    world.later();
    tells(&mut world, "a", unverified(12, &[IMAGE]));
    let written = soon(&mut world);
    assert_eq!(written, ["UnverifiedImages audit", "UnverifiedImages p"]);
    let notice = last(&world);
    assert_eq!(notice.kind.severity(), "Normal");
    assert!(
        notice.note.starts_with(
            "at least 1 covered image without a verdict on a: registry.example/team/app:1 (on a). They"
        ),
        "{}",
        notice.note
    );
    assert_eq!(world.later(), []);
}

#[test]
fn what_a_node_tells_about_itself_is_told_on_its_object() {
    let (mut world, _) = running();
    let mut own = world.node_policies["a"].clone();
    let drift = |count, time: Timestamp| Drift {
        count,
        last_time: Some(Time(time)),
        message: Some("/etc/x was changed by someone else\u{7}".to_owned()),
    };
    own.news.drift = Some(drift(1, world.now));
    world.change_node_policy(own.clone());
    assert_eq!(soon(&mut world), ["FilesPutBack a"]);
    let notice = last(&world).clone();
    assert_eq!(notice.uid, world.node_policies["a"].meta.uid);
    assert_eq!(notice.node_uid, Some(world.nodes["a"].meta.uid.clone()));
    assert_eq!(notice.object_kind(), "NodeImagePolicy");
    assert!(
        notice.note.starts_with("files were put back 1 time since the agent started, at last: /etc/x was changed by someone else . Something"),
        "{}",
        notice.note
    );
    assert_eq!(world.later(), []);
    own.news.drift = Some(drift(2, world.now));
    world.change_node_policy(own);
    world.now += SignedDuration::from_mins(5);
    assert_eq!(soon(&mut world), ["FilesPutBack a"]);
    assert_eq!(world.events.len(), 2);
}

#[test]
fn a_node_that_went_back_or_does_not_enforce_is_told_each_time() {
    let (mut world, id) = running();
    let fails = |world: &mut World, applied: Truth, reason: &str, enforcing: &str| {
        let mut failing = report(applied, reason, Truth::False);
        if !enforcing.is_empty() {
            failing.enforcing = Truth::False;
            failing.enforcing_finding = Finding::new(enforcing, "the probe was let in");
        }
        let mut own = world.node_policies["a"].clone();
        own.report = Some(failing);
        own.news.applied_since = Some(world.now);
        own.news.enforcing_since = Some(world.now);
        world.change_node_policy(own);
        soon(world)
    };
    let rolled = fails(&mut world, Truth::False, "RolledBack", "");
    assert_eq!(rolled, ["status p", "RolledBack a"]);
    assert_eq!(world.condition(&id, "Programmed"), "False NodesFailed");
    let bypassed = fails(&mut world, Truth::True, "Applied", "Bypassed");
    assert_eq!(bypassed.last().unwrap(), "NotEnforcing a");
    let note = &last(&world).note;
    assert!(
        note.starts_with("the node does not enforce its policies, Bypassed: the probe was let in."),
        "{note}"
    );
    world.now += SignedDuration::from_mins(5);
    let other = fails(&mut world, Truth::True, "Applied", "RefusesEverything");
    assert_eq!(other.last().unwrap(), "NotEnforcing a");

    // Neither is news: a restart is due, or nothing shall be enforced.
    world.now += SignedDuration::from_mins(5);
    let waits = fails(&mut world, Truth::False, "Pending", "Bypassed");
    assert_eq!(waits, ["status p"]);
    assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");
    let disabled = fails(&mut world, Truth::True, "Applied", "Disabled");
    assert!(
        !disabled.contains(&"NotEnforcing a".to_owned()),
        "{disabled:?}"
    );
}

#[test]
fn an_event_that_cannot_be_written_is_dropped_after_ten_minutes() {
    let (mut world, _) = running();
    tells(&mut world, "a", refused(&[(IMAGE, "NoSignature")]));
    world.now += SignedDuration::from_secs(10);
    let mut tries = 0;
    for _ in 0..40 {
        let writes = world.ask();
        for write in &writes {
            assert!(matches!(write, Write::Notice(_)));
            world.index.failed(write, world.now);
            tries += 1;
        }
        world.now += SignedDuration::from_secs(30);
    }
    assert!((8..=14).contains(&tries), "{tries}");
    assert_eq!(world.later(), []);
}

#[test]
fn what_one_policy_is_told_stays_small_however_much_is_refused() {
    let (mut world, _) = running();
    for n in 0..100 {
        let name = format!("n{n:03}");
        world.join(&name, &[]);
    }
    world.settle();
    world.agents_apply();
    world.later();
    let names: Vec<String> = world.node_policies.keys().cloned().collect();
    for (n, name) in names.iter().enumerate() {
        let images: Vec<String> = (0..10)
            .map(|m| format!("registry.example/team/{n}-{m}:1"))
            .collect();
        let pairs: Vec<(&str, &str)> = images.iter().map(|i| (&**i, "NoSignature")).collect();
        tells(&mut world, name, refused(&pairs));
    }
    assert_eq!(soon(&mut world), ["ImagesRefused p"]);
    let note = &last(&world).note;
    assert!(
        note.starts_with("1020 images refused on 102 nodes"),
        "{note}"
    );
    assert!(note.contains(" and 1015 more."), "{note}");
    assert!(note.len() <= 1_024);
    assert_eq!(world.later(), []);
}

#[test]
fn a_node_that_left_tells_nothing() {
    let (mut world, _) = running();
    tells(&mut world, "b", refused(&[(IMAGE, "NoSignature")]));
    let node = world.nodes.remove("b").unwrap();
    let gone = crate::index::Event::Node(crate::index::Change::Delete(node));
    world.index.apply(gone);
    world.later();
    assert!(world.events.is_empty());
}
