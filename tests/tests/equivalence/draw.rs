//! What is drawn: policies, a node, an image and its signatures, all from a small vocabulary, so
//! that scopes meet.

use std::collections::BTreeSet;

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
/// How many Fulcios there are, and how many logs. A trust root has one of each, or the first Fulcio
/// and both logs.
pub(crate) const FULCIOS: usize = 2;
/// How many trust roots there are.
pub(crate) const ROOTS: usize = 3;
/// How many company authorities there are.
pub(crate) const COMPANIES: usize = 2;
/// E-mail addresses with identity providers. The first two differ in one thing each from another.
pub(crate) const PEOPLE: [(&str, &str); 3] = [
    ("release@example.com", "https://accounts.example.com"),
    ("mallory@example.com", "https://accounts.example.com"),
    ("release@example.com", "https://other.example.com"),
];

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
    pub(crate) authorities: Vec<DrawnAuthority>,
    pub(crate) identity: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DrawnAuthority {
    /// Any of these keys, in a log of this trust root.
    Keys(Vec<usize>, Option<usize>),
    /// This person, by certificates and logs of this trust root.
    Keyless { root: usize, person: usize },
    /// The e-mail address of this person, by certificates of this company.
    Company { company: usize, person: usize },
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
    pub(crate) maker: Maker,
    pub(crate) logged: Logged,
    pub(crate) name: SignedName,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Maker {
    Key(usize),
    /// With a certificate of one of the Fulcios.
    Keyless(usize, usize, Certificate),
    /// With a certificate of one of the companies.
    Company(usize, usize, Certificate),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    Valid,
    /// Valid around this time yesterday.
    Expired,
    /// With a second name.
    TwoNames,
    /// Without the certificates above it.
    NoChain,
}

/// What log entry comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logged {
    No,
    /// In this log, now.
    Now(usize),
    /// In this log, yesterday.
    Yesterday(usize),
    /// Of another signature.
    Borrowed(usize),
    /// Changed after this log had signed it.
    Forged(usize),
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
        prop_oneof![2 => Just(Vec::new()), 3 => vec(touch(), 1..5)],
    )
        .prop_map(
            |(
                policies,
                (reject_by_default, exempt, base, old, in_namespace),
                image,
                mut signatures,
                touches,
            )| {
                signatures.extend(wanted(&policies, &touches));
                Case {
                    policies,
                    reject_by_default,
                    exempt,
                    base,
                    old,
                    image,
                    in_namespace,
                    signatures,
                }
            },
        )
}

/// What may be wrong with a signature that a policy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    Nothing,
    Logged(Logged),
    Certificate(Certificate),
    /// By the next person or key.
    OtherSigner,
    /// By the other Fulcio or company.
    OtherAuthority,
    Fault(Fault),
}

fn touch() -> impl Strategy<Value = Touch> {
    prop_oneof![
        10 => Just(Touch::Nothing),
        3 => logged().prop_map(Touch::Logged),
        2 => certificate().prop_map(Touch::Certificate),
        1 => Just(Touch::OtherSigner),
        1 => Just(Touch::OtherAuthority),
        1 => fault().prop_map(Touch::Fault),
    ]
}

/// A signature by each authority of each policy, touched in turn; none without touches. Signatures
/// that are drawn by themselves hardly ever fulfil a policy.
fn wanted(policies: &[DrawnPolicy], touches: &[Touch]) -> Vec<DrawnSignature> {
    let authorities = policies.iter().flat_map(|policy| {
        let identity = policy.identity;
        let authorities = policy.authorities.iter();
        authorities.map(move |authority| (identity, authority))
    });
    authorities
        .zip(touches.iter().cycle())
        .map(|((identity, authority), touch)| wanted_by(identity, authority, *touch))
        .collect()
}

fn wanted_by(identity: Identity, authority: &DrawnAuthority, touch: Touch) -> DrawnSignature {
    // The second root has the second of each; the others begin with the first.
    let of = |root: usize| usize::from(root == 1);
    let other = usize::from(touch == Touch::OtherAuthority);
    let next = usize::from(touch == Touch::OtherSigner);
    let certificate = match touch {
        Touch::Certificate(certificate) => certificate,
        _ => Certificate::Valid,
    };
    let person = |person: usize| (person + next) % PEOPLE.len();
    let (maker, logged) = match authority {
        DrawnAuthority::Keys(keys, log) => (
            Maker::Key((keys[0] + next) % KEYS),
            log.map_or(Logged::No, |root| Logged::Now(of(root))),
        ),
        DrawnAuthority::Keyless { root, person: who } => (
            Maker::Keyless((of(*root) + other) % FULCIOS, person(*who), certificate),
            Logged::Now(of(*root)),
        ),
        DrawnAuthority::Company {
            company,
            person: who,
        } => (
            Maker::Company((company + other) % COMPANIES, person(*who), certificate),
            Logged::No,
        ),
    };
    DrawnSignature {
        maker,
        logged: match touch {
            Touch::Logged(logged) => logged,
            // As it was signed at the time.
            Touch::Certificate(Certificate::Expired) => match logged {
                Logged::Now(log) => Logged::Yesterday(log),
                logged => logged,
            },
            _ => logged,
        },
        name: if identity == Identity::Repository {
            SignedName::Repository
        } else {
            SignedName::Tagged
        },
        fault: match touch {
            Touch::Fault(fault) => fault,
            _ => Fault::None,
        },
    }
}

fn policy() -> impl Strategy<Value = DrawnPolicy> {
    let flags = (
        prop::bool::weighted(0.25),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    );
    let scopes = (vec(scope(true), 1..4), vec(scope(false), 0..2));
    let signers = (1..=3_usize, authorities(), identity());
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

/// CRI-O can say "one of these" of keys alone, so the other kinds mostly stand alone.
fn authorities() -> impl Strategy<Value = Vec<DrawnAuthority>> {
    let keyless =
        || (0..ROOTS, person()).prop_map(|(root, person)| DrawnAuthority::Keyless { root, person });
    let company = || {
        (0..COMPANIES, person())
            .prop_map(|(company, person)| DrawnAuthority::Company { company, person })
    };
    let keys = (vec(vec(0..KEYS, 1..3), 1..4), log()).prop_map(|(lists, log)| {
        let one = |keys| DrawnAuthority::Keys(keys, log);
        lists.into_iter().map(one).collect()
    });
    let one = || {
        prop_oneof![
            2 => (vec(0..KEYS, 1..3), log()).prop_map(|(keys, log)| DrawnAuthority::Keys(keys, log)),
            2 => keyless(),
            2 => company(),
        ]
    };
    prop_oneof![
        5 => keys,
        3 => keyless().prop_map(|one| vec![one]),
        3 => company().prop_map(|one| vec![one]),
        2 => vec(one(), 2..4),
    ]
}

/// Mostly the first.
fn person() -> impl Strategy<Value = usize> {
    prop_oneof![5 => Just(0), 2 => 0..PEOPLE.len()]
}

/// Mostly the first trust root, where one is demanded.
fn log() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![5 => Just(None), 2 => Just(Some(0)), 1 => (0..ROOTS).prop_map(Some)]
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
    (maker(), logged(), name, fault()).prop_map(|(maker, logged, name, fault)| DrawnSignature {
        maker,
        logged,
        name,
        fault,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::OtherDigest),
        1 => Just(Fault::OtherKind),
        1 => Just(Fault::Tampered),
    ]
}

fn certificate() -> impl Strategy<Value = Certificate> {
    prop_oneof![
        8 => Just(Certificate::Valid),
        2 => Just(Certificate::Expired),
        1 => Just(Certificate::TwoNames),
        1 => Just(Certificate::NoChain),
    ]
}

fn maker() -> impl Strategy<Value = Maker> {
    let of = |count: usize| prop_oneof![3 => Just(0), 1 => 0..count];
    prop_oneof![
        5 => (0..KEYS).prop_map(Maker::Key),
        4 => (of(FULCIOS), person(), certificate()).prop_map(|(f, p, c)| Maker::Keyless(f, p, c)),
        3 => (of(COMPANIES), person(), certificate()).prop_map(|(f, p, c)| Maker::Company(f, p, c)),
    ]
}

fn logged() -> impl Strategy<Value = Logged> {
    let log = || prop_oneof![4 => Just(0), 1 => 0..FULCIOS];
    prop_oneof![
        3 => Just(Logged::No),
        6 => log().prop_map(Logged::Now),
        2 => log().prop_map(Logged::Yesterday),
        1 => log().prop_map(Logged::Borrowed),
        1 => log().prop_map(Logged::Forged),
    ]
}

/// What a policy with a threshold may hold: authorities with signers of their own.
pub(crate) fn distinct(drawn: &[DrawnAuthority]) -> Vec<DrawnAuthority> {
    let mut keys_seen = BTreeSet::new();
    let mut emails_seen = BTreeSet::new();
    let mut authorities = drawn.to_vec();
    authorities.retain_mut(|authority| match authority {
        DrawnAuthority::Keys(keys, _) => {
            keys.retain(|key| keys_seen.insert(*key));
            !keys.is_empty()
        }
        // An address is one signer, whoever vouches for it.
        DrawnAuthority::Keyless { person, .. } | DrawnAuthority::Company { person, .. } => {
            emails_seen.insert(PEOPLE[*person].0)
        }
    });
    authorities
}
