//! What is drawn: policies, a node, an image and its signatures, all from a small vocabulary, so
//! that scopes meet.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Registries that images come from. The twin of the first is only pulled from: scopes name the
/// first, which stands for both.
pub(crate) const HOSTS: [&str; 6] = [
    "a.example.com",
    "b.example.com",
    "x.corp.example.com",
    "c.example.net:5000",
    "docker.io",
    "a.example.com:443",
];
/// Repositories of each.
pub(crate) const PATHS: [&str; 5] = [
    "team/app",
    "team/x/app",
    "team/apps",
    "app/team",
    "other/app",
];
/// Tags of each.
pub(crate) const TAGS: [&str; 2] = ["v1", "v2"];
/// How many keys there are to sign with, and to demand.
pub(crate) const KEYS: usize = 5;

const WILDCARDS: [&str; 4] = [
    "*.example.com",
    "*.corp.example.com",
    "*.com",
    "*.example.net",
];
const PARENTS: [&str; 2] = ["team", "team/x"];

/// One question to both engines.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) policies: Vec<DrawnPolicy>,
    pub(crate) reject_by_default: bool,
    pub(crate) exempt: Vec<DrawnScope>,
    pub(crate) base: Base,
    /// Before lists of keys, or after.
    pub(crate) old: bool,
    pub(crate) image: Pull,
    /// The pod is in the namespace that has policies.
    pub(crate) in_namespace: bool,
    pub(crate) signatures: Vec<DrawnSignature>,
}

#[derive(Debug, Clone)]
pub(crate) struct DrawnPolicy {
    pub(crate) namespaced: bool,
    pub(crate) reject_unsupported: bool,
    pub(crate) audit: bool,
    pub(crate) scopes: Vec<DrawnScope>,
    pub(crate) exclude: Vec<DrawnScope>,
    pub(crate) threshold: usize,
    /// The keys of each authority.
    pub(crate) authorities: Vec<Vec<usize>>,
    pub(crate) identity: Identity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Repository,
    DigestOrExact,
    /// That of the host with this index.
    Exact(usize),
    /// From the first host to the second.
    Remap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DrawnScope {
    Wildcard(&'static str),
    Host(&'static str),
    Parent(&'static str, &'static str),
    Repository(&'static str, &'static str),
    Tag(&'static str, &'static str, &'static str),
    Digest(&'static str, &'static str, &'static str),
}

/// The node's own policy.json.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) reject: bool,
    pub(crate) entries: Vec<(DrawnScope, BaseRule)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum BaseRule {
    Accept,
    Reject,
    Key(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Pull {
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) by_digest: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct DrawnSignature {
    pub(crate) key: usize,
    pub(crate) name: SignedName,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum SignedName {
    Repository,
    Tagged,
    OtherTag,
    Digested,
    OtherRepository,
    /// The same path at the second host.
    SecondHost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    OtherDigest,
    OtherKind,
    Tampered,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let settings = (
        prop::bool::weighted(0.3),
        vec(scope(false), 0..2),
        base(),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.4),
    );
    (
        vec(policy(), 1..5),
        settings,
        pull(),
        vec(signature(), 0..4),
    )
        .prop_map(
            |(
                policies,
                (reject_by_default, exempt, base, old, in_namespace),
                image,
                signatures,
            )| Case {
                policies,
                reject_by_default,
                exempt,
                base,
                old,
                image,
                in_namespace,
                signatures,
            },
        )
}

fn policy() -> impl Strategy<Value = DrawnPolicy> {
    let flags = (
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    );
    let scopes = (vec(scope(true), 1..4), vec(scope(false), 0..2));
    let signers = (1..=3_usize, vec(vec(0..KEYS, 1..3), 1..4), identity());
    (flags, scopes, signers).prop_map(
        |(
            (namespaced, reject_unsupported, audit),
            (scopes, exclude),
            (threshold, authorities, identity),
        )| {
            DrawnPolicy {
                namespaced,
                reject_unsupported,
                audit,
                scopes,
                exclude,
                threshold,
                authorities,
                identity,
            }
        },
    )
}

fn identity() -> impl Strategy<Value = Identity> {
    prop_oneof![
        6 => Just(Identity::Repository),
        2 => Just(Identity::DigestOrExact),
        1 => (0..2_usize).prop_map(Identity::Exact),
        1 => Just(Identity::Remap),
    ]
}

/// Hosts that scopes may name.
fn host() -> impl Strategy<Value = &'static str> {
    select(&HOSTS[..5])
}

fn scope(versions: bool) -> impl Strategy<Value = DrawnScope> {
    let weight = u32::from(versions);
    prop_oneof![
        2 => select(&WILDCARDS[..]).prop_map(DrawnScope::Wildcard),
        4 => host().prop_map(DrawnScope::Host),
        4 => (host(), select(&PARENTS[..])).prop_map(|(host, path)| DrawnScope::Parent(host, path)),
        6 => (host(), select(&PATHS[..])).prop_map(|(host, path)| DrawnScope::Repository(host, path)),
        3 * weight => (host(), select(&PATHS[..]), select(&TAGS[..]))
            .prop_map(|(host, path, tag)| DrawnScope::Tag(host, path, tag)),
        3 * weight => (host(), select(&PATHS[..]), select(&TAGS[..]))
            .prop_map(|(host, path, tag)| DrawnScope::Digest(host, path, tag)),
    ]
}

fn base() -> impl Strategy<Value = Base> {
    let rule = prop_oneof![
        2 => Just(BaseRule::Accept),
        1 => Just(BaseRule::Reject),
        2 => (0..KEYS).prop_map(BaseRule::Key),
    ];
    (prop::bool::weighted(0.1), vec((scope(true), rule), 0..3))
        .prop_map(|(reject, entries)| Base { reject, entries })
}

fn pull() -> impl Strategy<Value = Pull> {
    let host = prop_oneof![
        5 => Just(HOSTS[0]),
        6 => select(&HOSTS[1..]),
    ];
    let path = prop_oneof![
        4 => Just(PATHS[0]),
        4 => select(&PATHS[1..]),
    ];
    (host, path, select(&TAGS[..]), prop::bool::weighted(0.3)).prop_map(
        |(host, path, tag, by_digest)| Pull {
            host,
            path,
            tag,
            by_digest,
        },
    )
}

fn signature() -> impl Strategy<Value = DrawnSignature> {
    let name = prop_oneof![
        8 => Just(SignedName::Repository),
        4 => Just(SignedName::Tagged),
        1 => Just(SignedName::OtherTag),
        2 => Just(SignedName::Digested),
        1 => Just(SignedName::OtherRepository),
        1 => Just(SignedName::SecondHost),
    ];
    let fault = prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::OtherDigest),
        1 => Just(Fault::OtherKind),
        1 => Just(Fault::Tampered),
    ];
    (0..KEYS, name, fault).prop_map(|(key, name, fault)| DrawnSignature { key, name, fault })
}
