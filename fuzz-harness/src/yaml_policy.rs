//! Manifests, from text to the files of nodes.

use std::collections::BTreeSet;

use crds::load::{Loaded, Source, load};
use crds::{Problem, Severity};
use policy::bundle::Bundle;
use policy::containerd::{self, ContainerdFacts};
use policy::crio::document::{PolicyJson, Rule, Rules};
use policy::crio::render::{self, CrioFacts};
use policy::digest::Digest;
use policy::flatten::{Decision, Flat, NodeFacts, Outcome, flatten};
use policy::model::{Mode, Policy, PolicyId};
use policy::paths;
use policy::reference::Reference;
use policy::scope::Scope;
use policy::verifier::VerifierPolicy;
use policy::version::Version;

use crate::images;

pub(crate) const WORDS: &[&str] = &[
    "apiVersion: ",
    "nodeseal.dev/v1alpha1",
    "nodeseal.dev/v1",
    "kind: ",
    "ClusterImageSignaturePolicy",
    "ImageSignaturePolicy",
    "EnforcementConfig",
    "TrustRoot",
    "ConfigMap",
    "Secret",
    "List",
    "items:",
    "metadata:",
    "name: ",
    "namespace: ",
    "spec:",
    "scopes:",
    "exclude:",
    "threshold: ",
    "mode: ",
    "Audit",
    "Enforce",
    "authorities:",
    "key:",
    "data:",
    "data: |",
    "keyless:",
    "certificate:",
    "transparencyLog:",
    "trustRoot: ",
    "identities:",
    "issuer: ",
    "issuerRegExp: ",
    "subjectRegExp: ",
    "signedIdentity:",
    "onUnsupported: ",
    "Reject",
    "nodeSelector:",
    "exemptImages:",
    "defaultAction: ",
    "configMapRef:",
    "secretRef:",
    "---\n",
    "...\n",
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!!int ",
    "| \n",
    ">-\n",
    "|2\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "# ",
    "%YAML 1.2\n",
    "~",
    "null",
    "yes",
    "0o7",
    "1e3",
    ".inf",
    "-1",
    "a.example",
    "*.example",
    "a.example:443",
    "a.example/x",
    "docker.io/busybox",
    "\t",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{1b}[31m",
    "\u{202e}",
    "\\e",
    "\\u0007",
    "\0",
    "\r\n",
    "\r",
    "(a+)+$",
    ".*",
    "\\d",
    "-----BEGIN PUBLIC KEY-----",
    "-----END PUBLIC KEY-----",
    "-----BEGIN PRIVATE KEY-----",
];

/// [`load`], and everything that is made of the policies that it accepts.
#[must_use]
pub fn yaml_policy(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let source = Source {
        name: "policies.yaml".to_owned(),
        text: text.to_owned(),
    };
    let loaded = load(&[source]);
    let lines = text
        .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .count() as u64;
    for problem in &loaded.problems {
        is_for_people(problem, lines);
    }
    nothing_is_lost(&loaded);
    if loaded.policies.is_empty() && loaded.settings.is_none() {
        return false;
    }
    let policies: Vec<Policy> = loaded
        .policies
        .into_iter()
        .map(|loaded| loaded.policy)
        .collect();
    let bundle = Bundle::new(loaded.settings.unwrap_or_default(), policies);
    survives(&bundle);
    let node = NodeFacts::default();
    let flat = flatten(&bundle, &node);
    for image in bundle
        .policies()
        .flat_map(Policy::scopes)
        .flat_map(images::all_inside)
    {
        decided_as_written(&bundle, &flat, &image);
    }
    files(&bundle, &flat, &node);
    true
}

/// One line that a terminal shows as it is, and a place that is in the file.
fn is_for_people(problem: &Problem, lines: u64) {
    assert!(
        !problem.message.is_empty() && !problem.reason.is_empty(),
        "{problem:?}"
    );
    assert!(problem.line <= lines, "{problem:?} of {lines} lines");
    assert_eq!(problem.line == 0, problem.column == 0, "{problem:?}");
    let shown = problem.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

/// What is not accepted is said, and nothing of it is used.
fn nothing_is_lost(loaded: &Loaded) {
    let ids: Vec<&PolicyId> = loaded
        .policies
        .iter()
        .map(|loaded| loaded.policy.id())
        .collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    if !loaded.has_errors() {
        assert_eq!(
            (&loaded.invalid[..], &loaded.broken_files[..]),
            (&[][..], &[][..])
        );
    }
    for invalid in &loaded.invalid {
        let Some(id) = &invalid.policy else { continue };
        let tenants = invalid.object.starts_with("ImageSignaturePolicy/");
        assert_eq!(id.namespace().is_some(), tenants, "{invalid:?}");
    }
    for id in &ids {
        let object = match id {
            PolicyId::Cluster { name } => format!("ClusterImageSignaturePolicy/{name}"),
            PolicyId::Namespaced { namespace, name } => {
                format!("ImageSignaturePolicy/{namespace}/{name}")
            }
        };
        let error = loaded
            .problems_of(Severity::Error)
            .find(|problem| problem.object == object);
        assert!(error.is_none(), "{error:?}");
    }
}

/// The bundle is the same at the other end.
fn survives(bundle: &Bundle) {
    let again = Bundle::from_json(&bundle.to_json()).expect("what was written is read");
    assert_eq!(&again, bundle);
    assert_eq!(again.digest(), bundle.digest());
    let spec = crds::bundle::encode(bundle).expect("small");
    let name = crds::bundle::object_name(&bundle.digest());
    let carried = crds::bundle::decode(&name, &spec).expect("what was written is read");
    assert_eq!(&carried, bundle);
}

/// The table says what the policies say when each is asked by itself.
fn decided_as_written(bundle: &Bundle, flat: &Flat, image: &Reference) {
    let lookup: Vec<String> = image.lookup().iter().map(|name| plain(name)).collect();
    let names = |scopes: &BTreeSet<Scope>| lookup.iter().any(|name| scopes.contains(name.as_str()));
    let Decision { outcome, audit, .. } = flat.decide(image);
    if names(&bundle.settings().exempt_images) {
        assert_eq!(outcome, Outcome::Exempt, "{image}");
        return;
    }
    let covering = |mode| -> Vec<&PolicyId> {
        let cluster = bundle
            .policies()
            .filter(|policy| policy.id().namespace().is_none());
        let covering = cluster.filter(|policy| names(policy.scopes()) && !names(policy.exclude()));
        let covering = covering.filter(|policy| policy.requirement().mode() == mode);
        covering.map(Policy::id).collect()
    };
    let enforced: Vec<&PolicyId> = match outcome {
        Outcome::Verify(policies) => policies.into_iter().map(|(id, _)| id).collect(),
        Outcome::Default(action) => {
            assert_eq!(action, bundle.settings().default_action);
            Vec::new()
        }
        Outcome::Exempt | Outcome::Refused => unexpected(image),
    };
    assert_eq!(enforced, covering(Mode::Enforce), "{image}");
    let audit: Vec<&PolicyId> = audit.into_iter().map(|(id, _)| id).collect();
    assert_eq!(audit, covering(Mode::Audit), "{image}");
}

#[expect(clippy::panic, reason = "it is how a harness answers")]
fn unexpected(image: &Reference) -> ! {
    panic!("{image} is exempt, and nothing says so")
}

/// The same registry without the port that is written out.
fn plain(name: &str) -> String {
    let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    format!("{}{rest}", host.strip_suffix(":443").unwrap_or(host))
}

/// Every file passes the reader that it is written for.
fn files(bundle: &Bundle, flat: &Flat, node: &NodeFacts) {
    let digest = bundle.digest();
    assert_ne!(digest, Digest::of(b""));
    let rendered = containerd::render(flat, &digest, &ContainerdFacts::default());
    let file = &rendered[paths::VERIFIER_POLICY].bytes;
    let read = VerifierPolicy::from_json(file).expect("what was rendered is read");
    assert_eq!(&read.flat, flat);
    assert_eq!(read.bundle, digest);

    let facts = CrioFacts {
        version: Version::new(1, 36, 0),
        policy_path: paths::CRIO_POLICY.to_owned(),
        namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
        base: PolicyJson {
            default: Rules::one(Rule::InsecureAcceptAnything {}),
            transports: policy::crio::document::StrictMap::default(),
        },
        taken_locations: BTreeSet::new(),
    };
    for (path, file) in render::render(bundle, node, &facts).files(&facts) {
        assert!(!path.contains("..") && !path.starts_with('/'), "{path}");
        if path == render::REGISTRIES_D_FILE {
            let text = String::from_utf8(file.bytes).expect("text");
            let _: serde_json::Value =
                serde_saphyr::from_str(&text).expect("what was written is YAML");
        } else {
            PolicyJson::parse(&file.bytes).expect("what was rendered is read");
        }
    }
}
