//! The node's own policy.json, which is the layer below ours.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, DefaultAction, Settings};
use policy::crio::document::{PolicyJson, Rule, Rules};
use policy::crio::render::{CrioFacts, render};
use policy::crio::rules::rules;
use policy::flatten::{Flat, NodeFacts, Outcome, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::paths;
use policy::reference::Reference;
use policy::scope::Scope;
use policy::version::Version;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

pub(crate) const WORDS: &[&str] = &[
    "default",
    "transports",
    "docker",
    "docker-daemon",
    "dir",
    "oci",
    "containers-storage",
    "type",
    "insecureAcceptAnything",
    "reject",
    "signedBy",
    "signedBaseLayer",
    "sigstoreSigned",
    "keyType",
    "GPGKeys",
    "keyPath",
    "keyPaths",
    "keyData",
    "keyDatas",
    "fulcio",
    "caPath",
    "caData",
    "oidcIssuer",
    "subjectEmail",
    "pki",
    "caRootsPath",
    "caRootsData",
    "caIntermediatesPath",
    "caIntermediatesData",
    "subjectHostname",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
    "signedIdentity",
    "baseLayerIdentity",
    "matchExact",
    "matchRepoDigestOrExact",
    "matchRepository",
    "exactReference",
    "exactRepository",
    "remapIdentity",
    "dockerReference",
    "dockerRepository",
    "prefix",
    "signedPrefix",
    "null",
    "true",
    "0",
    "-1",
    "1e9",
    "\"\"",
    "[]",
    "{}",
    "AAAA",
    "AA==",
    "AB==",
    "A",
    "\\n",
    "\\r",
    "\\u0000",
    "\\ud800",
    "\\uDC00",
    "\\u0054ype",
    "Type",
    "TYPE",
    "a.example",
    "A.EXAMPLE",
    "a.example:443",
    "a.example:0443",
    "*.example",
    "*.corp.example",
    "/x",
    ":v1",
    "@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "[::1]",
    "docker.io/acme",
    "[{\"type\":\"reject\"}]",
    "[{\"type\":\"insecureAcceptAnything\"}]",
    "/etc/k",
];

const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\n\
    URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n\
    -----END PUBLIC KEY-----\n";
const NAMED: SignedIdentity = SignedIdentity::MatchRepository {
    unnamed: UnnamedSignatures::Accept,
};
const VERSION: Version = Version::new(1, 36, 0);
const IMAGES: [&str; 10] = [
    "a.example/app:v1",
    "a.example:443/app:v1",
    "a.example/x/app:v1",
    "a.example/free/app:v1",
    "a.example/x@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "b.corp.example:5000/app:v1",
    "docker.io/acme/app:v1",
    "docker.io/library/app:v2",
    "elsewhere.test/app:v1",
    "localhost/app:v1",
];

/// [`PolicyJson::parse`], and [`render`] on top of what it accepts.
#[must_use]
pub fn policy_json(data: &[u8]) -> bool {
    let document = match PolicyJson::parse(data) {
        Ok(document) => document,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    serde_json::from_slice::<NothingTwice>(data).expect("no key stands twice");
    let written = document.to_json();
    let again = PolicyJson::parse(&written).expect("what was written is read");
    assert_eq!(again, document);
    assert_eq!(again.to_json(), written);
    for tables in TABLES.iter() {
        adds_and_never_loosens(&document, tables);
    }
    true
}

/// Policies as they are, and as a table.
struct Tables {
    bundle: Bundle,
    flat: Flat,
}

static TABLES: LazyLock<[Tables; 2]> = LazyLock::new(|| {
    [DefaultAction::Allow, DefaultAction::Reject].map(|default_action| {
        let exempt = Scope::parse("a.example/free").expect("a scope");
        let settings = Settings {
            default_action,
            exempt_images: [exempt].into(),
            ..Settings::default()
        };
        let policies = [
            cluster("host", &["a.example", "docker.io"], &["a.example/x"], NAMED),
            cluster(
                "inside",
                &["a.example/x/app", "docker.io/library/app:v2"],
                &[],
                SignedIdentity::MatchRepoDigestOrExact,
            ),
            cluster("wild", &["*.corp.example"], &[], NAMED),
        ];
        let bundle = Bundle::new(settings, policies);
        let flat = flatten(&bundle, &NodeFacts::default());
        Tables { bundle, flat }
    })
});

fn cluster(
    name: &str,
    scopes: &[&str],
    exclude: &[&str],
    signed_identity: SignedIdentity,
) -> Policy {
    let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let draft = PolicyDraft {
        id: PolicyId::Cluster {
            name: name.to_owned(),
        },
        scopes: own(scopes),
        exclude: own(exclude),
        on_unsupported: OnUnsupported::Ignore,
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![AuthorityDraft::key("a", KEY)],
            signed_identity,
        },
    };
    Policy::try_from(draft).expect("a valid policy")
}

/// An image passes the rendered file where it passes both the node's own file and our table: the
/// rules of both are there, and no others.
fn adds_and_never_loosens(base: &PolicyJson, Tables { bundle, flat }: &Tables) {
    let facts = CrioFacts {
        version: VERSION,
        policy_path: paths::CRIO_POLICY.to_owned(),
        namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
        base: base.clone(),
        taken_locations: BTreeSet::new(),
    };
    let rendered = render(bundle, &NodeFacts::default(), &facts);
    let file = rendered.policy.expect("there are policies");
    let file = PolicyJson::parse(&file.bytes).expect("what was rendered is read");
    assert_eq!(file.default, base.default);
    for (name, scopes) in &base.transports.0 {
        if name != "docker" {
            assert_eq!(file.transports.0.get(name), Some(scopes), "{name}");
        }
    }
    for image in images(base) {
        let lookup = image.lookup();
        let ours: Vec<Rule> = match flat.decide(&image).outcome {
            Outcome::Exempt | Outcome::Default(DefaultAction::Allow) => Vec::new(),
            Outcome::Refused | Outcome::Default(DefaultAction::Reject) => vec![Rule::Reject {}],
            Outcome::Verify(policies) => policies
                .into_iter()
                .flat_map(|(_, requirement)| rules(requirement, VERSION).expect("expressible"))
                .collect(),
        };
        let own = base.docker_rules(&lookup).as_slice().iter().cloned();
        let expected = Rules::all(ours.into_iter().chain(own));
        assert_eq!(file.docker_rules(&lookup), &expected, "{image}");
    }
}

/// Images that the file's scopes may be about, and some others.
fn images(base: &PolicyJson) -> Vec<Reference> {
    let scopes = base
        .transports
        .0
        .get("docker")
        .into_iter()
        .flat_map(|scopes| scopes.0.keys());
    let names = scopes.take(16).flat_map(|scope| {
        let name = scope
            .strip_prefix("*.")
            .map_or(scope.clone(), |domain| format!("some.{domain}"));
        [
            name.clone(),
            format!("{name}/probe:v1"),
            format!("{name}:v1"),
        ]
    });
    let names = names.chain(IMAGES.map(str::to_owned));
    names
        .filter_map(|name| Reference::parse(&name).ok())
        .collect()
}

/// JSON whose objects have no key twice.
struct NothingTwice;

impl<'de> Deserialize<'de> for NothingTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NothingTwice {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a policy.json is made of")
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((key, Self)) = map.next_entry::<String, Self>()? {
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(key));
            }
        }
        Ok(self)
    }
}
