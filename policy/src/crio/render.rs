//! The files of a CRI-O node.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::{Bundle, DefaultAction};
use crate::capability;
use crate::crio::document::{PolicyJson, Rule, Rules, StrictMap};
use crate::crio::locations::Needs;
pub use crate::crio::locations::{REGISTRIES_D_FILE, registries_d};
use crate::crio::registries_conf::Registry;
use crate::crio::registries_d::Taken;
use crate::files::{Diagnostic, File, FileSet};
use crate::flatten::{Entry, Index, NodeFacts};
use crate::model::{Mode, OnUnsupported, Policy, PolicyId};
use crate::problem::Reason;
use crate::scope::lookup_of;
use crate::version::Version;

/// The most bytes of all namespace files of a node. Each repeats the cluster's policy.
pub const MAX_NAMESPACE_BYTES: usize = 64 * 1024 * 1024;
/// What rendering has to know of a node's CRI-O.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrioFacts {
    /// The runtime's version.
    pub version: Version,
    /// The policy file in force, relative to the node's root.
    pub policy_path: String,
    /// The folder of namespace files, relative to the node's root.
    pub namespace_dir: String,
    /// The node's own policy.json: the layer that nodeseal builds on and never loosens.
    pub base: PolicyJson,
    /// Locations that other files in registries.d configure. A location that stands twice makes
    /// every pull fail.
    pub taken_locations: BTreeSet<String>,
}

/// The files, and what they leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The policy.json; nothing where no policy is left and the node's own file stands.
    pub policy: Option<File>,
    /// Namespace files by namespace.
    pub namespaces: BTreeMap<String, File>,
    /// The locations whose signatures have to be looked up.
    pub locations: BTreeSet<String>,
    /// Policies that this node does not enforce, and why.
    pub diagnostics: Vec<Diagnostic>,
    /// Who needs the locations.
    needs: Needs,
}

impl Rendered {
    /// With the locations under which mirrors hold the same images.
    #[must_use]
    pub fn with_mirrors(self, registries: &[Registry], facts: &CrioFacts) -> Self {
        let taken = Taken::from(facts.taken_locations.clone());
        self.with_registries(&[registries], &taken)
    }

    /// With the locations under which mirrors hold the same images, in every reading of the node's
    /// registries.conf that its CRI-O may have, beside what other files in registries.d say.
    #[must_use]
    pub fn with_registries(mut self, readings: &[&[Registry]], taken: &Taken) -> Self {
        for registries in readings {
            self.needs.add_mirrors(registries);
        }
        let (locations, diagnostics) = self.needs.settle(taken);
        self.locations = locations;
        // Those about locations are found anew.
        self.diagnostics.retain(|d| d.reason != Reason::ForeignOwner);
        self.diagnostics.extend(diagnostics);
        sort(&mut self.diagnostics);
        self
    }

    /// All files by path.
    #[must_use]
    pub fn files(&self, facts: &CrioFacts) -> FileSet {
        let mut files = FileSet::new();
        if let Some(policy) = &self.policy {
            files.insert(facts.policy_path.clone(), policy.clone());
        }
        for (namespace, file) in &self.namespaces {
            files.insert(namespace_path(facts, namespace), file.clone());
        }
        if let Some(file) = registries_d(&self.locations) {
            files.insert(REGISTRIES_D_FILE.to_owned(), file);
        }
        files
    }
}

/// Where the file of a namespace stands.
#[must_use]
pub fn namespace_path(facts: &CrioFacts, namespace: &str) -> String {
    format!("{}/{namespace}.json", facts.namespace_dir)
}

/// Renders everything.
#[must_use]
pub fn render(bundle: &Bundle, node: &NodeFacts, facts: &CrioFacts) -> Rendered {
    let mut diagnostics = Vec::new();
    let expressed: Vec<Expressed<'_>> = bundle
        .policies()
        .filter_map(|policy| match capability::crio::express(policy, facts.version) {
            Ok(rules) => Some(Expressed { policy, rules }),
            Err(limits) => {
                diagnostics.extend(limits.into_iter().map(|limit| limit.diagnostic(policy)));
                let reject = policy.on_unsupported() == OnUnsupported::Reject
                    && policy.requirement().mode() == Mode::Enforce;
                reject.then(|| Expressed {
                    policy,
                    rules: vec![Rule::Reject {}],
                })
            }
        })
        .collect();

    let namespaces: BTreeSet<&str> = expressed
        .iter()
        .filter_map(|e| e.policy.id().namespace())
        .collect();
    let table = |namespace: Option<&str>| {
        let covering: Vec<&Expressed<'_>> = expressed
            .iter()
            .filter(|e| {
                e.policy
                    .id()
                    .namespace()
                    .is_none_or(|own| Some(own) == namespace)
            })
            .collect();
        policy_json(&covering, bundle, node, &facts.base)
    };
    let cluster_wide = bundle.settings().default_action == DefaultAction::Reject
        || expressed
            .iter()
            .any(|e| e.policy.id().namespace().is_none());
    let policy = cluster_wide.then(|| json_file(&table(None)));
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    for namespace in namespaces {
        let file = json_file(&table(Some(namespace)));
        // What is left out takes nothing from the namespaces that come after.
        if bytes + file.bytes.len() > MAX_NAMESPACE_BYTES {
            too_large(&mut diagnostics, &expressed, namespace);
            continue;
        }
        bytes += file.bytes.len();
        files.insert(namespace.to_owned(), file);
    }
    let signed = expressed
        .iter()
        .filter(|e| !e.rules.contains(&Rule::Reject {}))
        .map(|e| e.policy);
    let needs = Needs::of(signed);
    let (locations, taken) = needs.settle(&Taken::from(facts.taken_locations.clone()));
    diagnostics.extend(taken);
    sort(&mut diagnostics);
    Rendered {
        policy,
        namespaces: files,
        locations,
        diagnostics,
        needs,
    }
}

fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| (&a.namespace, &a.policy).cmp(&(&b.namespace, &b.policy)));
}

/// A policy with its rules.
struct Expressed<'a> {
    policy: &'a Policy,
    rules: Vec<Rule>,
}

/// One policy.json: the node's own, with our rules added at every scope that either names.
fn policy_json(
    expressed: &[&Expressed<'_>],
    bundle: &Bundle,
    node: &NodeFacts,
    base: &PolicyJson,
) -> PolicyJson {
    let policies: Vec<&Policy> = expressed.iter().map(|e| e.policy).collect();
    let rules: BTreeMap<&PolicyId, &[Rule]> = expressed
        .iter()
        .map(|e| (e.policy.id(), e.rules.as_slice()))
        .collect();
    let index = Index::new(&policies, bundle, node);
    let default: &[Rule] = match bundle.settings().default_action {
        DefaultAction::Allow => &[],
        DefaultAction::Reject => &[Rule::Reject {}],
    };

    let mut names: BTreeSet<String> = BTreeSet::new();
    for scope in index.named_scopes() {
        names.extend(scope.twin().map(|twin| twin.to_string()));
        names.insert(scope.to_string());
    }
    let own = base.transports.0.get("docker");
    names.extend(own.into_iter().flat_map(|scopes| scopes.0.keys().cloned()));
    names.remove("");

    let mut docker = StrictMap::default();
    for name in names {
        let lookup = lookup_of(&name);
        // The twin of a scope has the entries of the scope.
        let plain: Vec<String> = lookup.iter().map(|name| without_443(name)).collect();
        let ours: Vec<Rule> = match index.entry(&plain) {
            Entry::Exempt => Vec::new(),
            Entry::Default => default.to_vec(),
            Entry::Verify(ids) => ids
                .iter()
                .filter_map(|id| rules.get(id))
                .copied()
                .flatten()
                .cloned()
                .collect(),
        };
        let own = base.docker_rules(&lookup).as_slice().iter().cloned();
        docker
            .0
            .insert(name, Rules::all(ours.into_iter().chain(own)));
    }
    let own = base.docker_rules(&[]).as_slice().iter().cloned();
    docker.0.insert(
        String::new(),
        Rules::all(default.iter().cloned().chain(own)),
    );

    let mut transports = base.transports.clone();
    transports.0.insert("docker".to_owned(), docker);
    let accept = Rules::one(Rule::InsecureAcceptAnything {});
    if !transports.0.contains_key("docker-daemon") && base.default == accept {
        let scopes = StrictMap([(String::new(), accept)].into());
        transports.0.insert("docker-daemon".to_owned(), scopes);
    }
    PolicyJson {
        default: base.default.clone(),
        transports,
    }
}

fn without_443(name: &str) -> String {
    let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    format!("{}{rest}", host.strip_suffix(":443").unwrap_or(host))
}

fn json_file(document: &PolicyJson) -> File {
    File {
        bytes: document.to_json(),
        mode: 0o644,
    }
}

fn too_large(diagnostics: &mut Vec<Diagnostic>, expressed: &[Expressed<'_>], namespace: &str) {
    let message = format!(
        "the namespace files of this node would take more than {} MiB: each repeats the cluster's policy, so use fewer namespaced policies or fewer scopes",
        MAX_NAMESPACE_BYTES / 1024 / 1024
    );
    let of_namespace = expressed
        .iter()
        .filter(|e| e.policy.id().namespace() == Some(namespace));
    diagnostics.extend(
        of_namespace.map(|e| Diagnostic::of(e.policy.id(), Reason::TooLarge, message.clone())),
    );
}

#[cfg(test)]
#[path = "render_tests.rs"]
pub(in crate::crio) mod tests;
