use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, Settings};
use policy::flatten::NodeFacts;
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};

use super::*;
use crate::testing;

const HEX: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn image(tags: &[&str], digests: &[&str]) -> Image {
    Image {
        id: "id".to_owned(),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        digests: digests
            .iter()
            .map(|name| format!("{name}@sha256:{HEX}"))
            .collect(),
        pinned: false,
    }
}

/// A policy of one namespace with the requirement of [`testing::policy`].
fn namespaced(namespace: &str, name: &str, scope: &str) -> Policy {
    let authority = AuthorityDraft::key("a", testing::KEY);
    let draft = PolicyDraft {
        on_unsupported: OnUnsupported::Ignore,
        id: PolicyId::Namespaced {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        scopes: vec![scope.to_owned()],
        exclude: Vec::new(),
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![authority],
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    };
    Policy::try_from(draft).unwrap()
}

fn stale(known: &Refreshed, images: &[Image], scopes: &[(&str, &str)]) -> Vec<Stale> {
    let policies = scopes
        .iter()
        .map(|(name, scope)| testing::policy(name, scope));
    let bundle = Bundle::new(Settings::default(), policies);
    let node = NodeFacts::default();
    known.stale(images, &Demands::new(&bundle, &node))
}

#[test]
fn covered_images_are_pulled_again_by_digest_and_others_are_left_alone() {
    let images = [
        image(&["a.example/app:1"], &["a.example/app"]),
        image(&["b.example/app:1"], &["b.example/app"]),
        // Without a digest there is only the tag; without any name, nothing.
        image(&["a.example:5000/x:2"], &[]),
        image(&[], &[]),
    ];
    let scopes = [("p", "a.example"), ("q", "a.example:5000")];
    let found = stale(&Refreshed::default(), &images, &scopes);
    let references: Vec<&str> = found.iter().map(|stale| stale.reference.as_str()).collect();
    let app = format!("a.example/app@sha256:{HEX}");
    assert_eq!(references, [app.as_str(), "a.example:5000/x:2"]);
}

#[test]
fn a_scope_of_one_tag_pulls_what_the_image_is_now() {
    let images = [image(&["a.example/app:1"], &["a.example/app"])];
    let found = stale(&Refreshed::default(), &images, &[("p", "a.example/app:1")]);
    assert_eq!(found[0].reference, format!("a.example/app@sha256:{HEX}"));
}

#[test]
fn what_was_pulled_again_is_fresh_until_something_else_is_demanded() {
    let images = [image(&["a.example/app:1"], &["a.example/app"])];
    let one = [("p", "a.example")];
    let mut known = Refreshed::default();
    for stale in stale(&known, &images, &one) {
        known.pulled(stale);
    }
    let known = Refreshed::from_json(&known.to_json().unwrap());
    assert_eq!(stale(&known, &images, &one), []);
    let more = [("p", "a.example"), ("q", "a.example/app")];
    assert_eq!(stale(&known, &images, &more).len(), 1);
    let elsewhere = [("p", "a.example"), ("q", "b.example")];
    assert_eq!(stale(&known, &images, &elsewhere), []);
}

#[test]
fn what_only_policies_of_namespaces_cover_holds_nothing() {
    let images = [
        image(&["a.example/app:1"], &["a.example/app"]),
        image(&["b.example/app:1"], &["b.example/app"]),
    ];
    let own = namespaced("team", "own", "b.example");
    let policies = [testing::policy("p", "a.example"), own];
    let bundle = Bundle::new(Settings::default(), policies);
    let node = NodeFacts::default();
    let stale = Refreshed::default().stale(&images, &Demands::new(&bundle, &node));
    let holds: Vec<bool> = stale.iter().map(|stale| stale.holds).collect();
    assert_eq!(holds, [true, false]);
    // Both at once is the cluster's matter.
    let both = [
        testing::policy("p", "b.example"),
        namespaced("team", "own", "b.example/app"),
    ];
    let bundle = Bundle::new(Settings::default(), both);
    let stale = Refreshed::default().stale(&images[1..], &Demands::new(&bundle, &node));
    assert!(stale[0].holds);
}

#[test]
fn images_that_are_gone_are_forgotten() {
    let images = [image(&["a.example/app:1"], &["a.example/app"])];
    let mut known = Refreshed::default();
    for stale in stale(&known, &images, &[("p", "a.example")]) {
        known.pulled(stale);
    }
    known.retain(&images);
    assert_eq!(known.images.len(), 1);
    known.retain(&[]);
    assert_eq!(known, Refreshed::default());
}

#[test]
fn a_damaged_record_is_an_empty_one() {
    assert_eq!(
        Refreshed::from_json(b"{\"version\":1,"),
        Refreshed::default()
    );
    assert_eq!(
        Refreshed::from_json(b"{\"version\":2,\"images\":{}}"),
        Refreshed::default()
    );
}
