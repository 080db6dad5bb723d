use crds::NodeImagePolicySpec;
use crds::bundle::{BundleError, object_name};
use jiff::Timestamp;
use policy::digest::Digest;

use super::*;
use crate::status::{Report, Status};
use crate::testing;

fn bundle(scope: &str) -> (String, Bundle) {
    let bundle = testing::ledger(&[("a", "", scope)]).bundle;
    (object_name(&bundle.digest()), bundle)
}

fn object(bundle: &str, generation: i64) -> Event {
    let spec = NodeImagePolicySpec {
        bundle: bundle.to_owned(),
    };
    let mut object = NodeImagePolicy::new("n-1", spec);
    object.metadata.generation = Some(generation);
    Event::Object(Box::new(object))
}

fn follower(stored: Option<&str>) -> Follower {
    Follower::new("n-1", stored.map(str::to_owned))
}

fn said(bundle: &str, second: i64, generation: i64) -> Said {
    let report = Report {
        bundle: Some(Digest::of(bundle.as_bytes())),
        applied: Some(Vec::new()),
        ..Report::default()
    };
    Said {
        status: Status::new(report, None, Timestamp::from_second(second).unwrap()),
        generation: Some(generation),
    }
}

#[test]
fn until_anything_is_heard_the_node_runs_what_is_on_disk_and_nothing_is_called() {
    let mut follower = follower(Some("sha256-x"));
    follower.said(Some(&said("x", 1, 1)));
    assert_eq!(follower.order(), Order::default());
    assert_eq!(follower.to_fetch(), None);
    assert_eq!(follower.to_patch(), None);
}

#[test]
fn what_is_on_disk_is_not_fetched() {
    let (name, _) = bundle("a.example");
    let mut follower = follower(Some(&name));
    follower.heard(object(&name, 3));
    assert_eq!(follower.to_fetch(), None);
    let order = follower.order();
    assert_eq!((order.bundle, order.generation), (None, Some(3)));
}

#[test]
fn another_bundle_is_fetched_and_is_the_order_from_then_on() {
    let (name, new) = bundle("a.example");
    let mut follower = follower(Some("sha256-old"));
    follower.heard(object(&name, 4));
    assert_eq!(follower.to_fetch(), Some(name.clone()));
    assert_eq!(follower.order(), Order::default(), "not before it is there");
    follower.fetched(&name, Ok(Arc::new(new.clone())));
    assert_eq!(follower.to_fetch(), None);
    let order = follower.order();
    assert_eq!(order.bundle.as_deref(), Some(&new));
    assert_eq!((order.generation, order.trouble), (Some(4), None));
}

#[test]
fn a_bundle_that_is_not_there_is_never_no_policies_and_is_tried_again() {
    let (name, old) = bundle("a.example");
    let mut follower = follower(None);
    follower.heard(object(&name, 1));
    follower.fetched(&name, Ok(Arc::new(old.clone())));
    follower.heard(object("sha256-gone", 2));
    let gone = || "sha256-gone".to_owned();
    for error in [
        FetchError::Missing(gone()),
        FetchError::Failed {
            name: gone(),
            why: "no answer".to_owned(),
        },
    ] {
        follower.fetched(&gone(), Err(error));
        let order = follower.order();
        assert_eq!(order.bundle.as_deref(), Some(&old));
        let (failure, message) = order.trouble.unwrap();
        assert_eq!(failure, Failure::Pending);
        assert!(message.contains("stays in force"), "{message}");
        assert_eq!(order.generation, Some(2));
        assert_eq!(follower.to_fetch(), Some(gone()));
    }
    // Back to what it was: no trouble any more, and nothing to fetch.
    follower.heard(object(&name, 3));
    assert_eq!(follower.order().trouble, None);
    assert_eq!(follower.to_fetch(), None);
}

#[test]
fn a_bundle_that_is_too_new_or_damaged_is_told_and_not_read_again() {
    let unusable = |source| FetchError::Unusable {
        name: "sha256-b".to_owned(),
        source,
    };
    let damaged = BundleError::Digest {
        name: "sha256-b".to_owned(),
        found: Digest::of(b""),
    };
    for (source, expected) in [
        (BundleError::Format(9), Failure::BundleTooNew),
        (damaged, Failure::RenderFailed),
        (BundleError::TooLarge, Failure::RenderFailed),
    ] {
        let mut follower = follower(Some("sha256-a"));
        follower.heard(object("sha256-b", 2));
        follower.fetched("sha256-b", Err(unusable(source)));
        let order = follower.order();
        assert_eq!(order.bundle, None, "what is on disk");
        assert_eq!(order.trouble.unwrap().0, expected);
        assert_eq!(follower.to_fetch(), None);
    }
}

#[test]
fn an_object_that_is_gone_changes_nothing_on_the_node() {
    let (name, bundle) = bundle("a.example");
    let mut follower = follower(None);
    follower.heard(object(&name, 1));
    follower.fetched(&name, Ok(Arc::new(bundle.clone())));
    follower.said(Some(&said("x", 1, 1)));
    follower.heard(Event::Gone);
    let order = follower.order();
    assert_eq!(order.bundle.as_deref(), Some(&bundle));
    assert!(order.warning.unwrap().contains("no NodeImagePolicy `n-1`"));
    assert_eq!((follower.to_fetch(), follower.to_patch()), (None, None));
    follower.heard(object(&name, 2));
    assert_eq!(follower.order().warning, None);
}

#[test]
fn a_status_is_written_once_and_again_only_when_more_than_the_time_changed() {
    let mut follower = follower(Some("sha256-a"));
    follower.said(Some(&said("x", 1, 1)));
    assert_eq!(follower.to_patch(), None, "there is no object yet");
    follower.heard(object("sha256-a", 1));
    let status = follower.to_patch().unwrap();
    assert_eq!(status.observed_generation, Some(1));
    follower.patched(status);
    assert_eq!(follower.to_patch(), None);
    follower.said(Some(&said("x", 99, 1)));
    assert_eq!(follower.to_patch(), None, "only the time changed");
    follower.said(Some(&said("y", 99, 1)));
    assert!(follower.to_patch().is_some());
}

#[test]
fn after_a_restart_a_status_that_is_there_already_is_not_written_again() {
    let mut first = follower(Some("sha256-a"));
    first.heard(object("sha256-a", 1));
    first.said(Some(&said("x", 1, 1)));
    let there = first.to_patch().unwrap();
    let mut second = follower(Some("sha256-a"));
    // Its first look comes before anything is heard.
    let early = Said {
        generation: None,
        ..said("x", 40, 1)
    };
    second.said(Some(&early));
    let Event::Object(mut object) = object("sha256-a", 1) else {
        panic!()
    };
    // As the API server gives it back.
    let json = serde_json::to_value(&there).unwrap();
    object.status = Some(serde_json::from_value(json).unwrap());
    second.heard(Event::Object(object));
    assert_eq!(second.to_patch(), None);
    second.said(Some(&said("x", 50, 1)));
    assert_eq!(second.to_patch(), None);
}
