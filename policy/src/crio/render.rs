//! The files of a CRI-O node.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use crate::bundle::{Bundle, DefaultAction};
use crate::capability;
use crate::crio::budget;
pub use crate::crio::budget::{MAX_NAMESPACE_ADDS, MAX_NAMESPACE_BYTES, MAX_POLICY_JSON};
use crate::crio::document::PolicyJson;
use crate::crio::layer::{Fitted, Size as _, Standing, fit};
use crate::crio::locations::Needs;
pub use crate::crio::locations::{REGISTRIES_D_FILE, registries_d};
use crate::crio::registries_conf::Registry;
use crate::crio::registries_d::Taken;
use crate::crio::table::{Ground, Table};
use crate::crio::texts::Texts;
use crate::files::{Diagnostic, File, FileSet};
use crate::flatten::NodeFacts;
use crate::model::Mode;
use crate::problem::Reason;
use crate::scope::Scope;
use crate::version::Version;

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
    /// The policy.json; nothing where no policy is left and the node's own file stands. Without any
    /// content where [`Rendered::too_large`] says so.
    pub policy: Option<File>,
    /// Namespace files by namespace.
    pub namespaces: BTreeMap<String, File>,
    /// The locations whose signatures have to be looked up.
    pub locations: BTreeSet<String>,
    /// Policies that this node does not enforce, and why.
    pub diagnostics: Vec<Diagnostic>,
    /// Who needs the locations.
    needs: Needs,
    too_large: Option<usize>,
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
        self.diagnostics
            .retain(|d| d.reason != Reason::ForeignOwner);
        self.diagnostics.extend(diagnostics);
        sort(&mut self.diagnostics);
        self
    }

    /// Whether signatures have to be looked up anywhere, so that mirrors matter.
    #[must_use]
    pub fn looks_up(&self) -> bool {
        !self.needs.is_empty()
    }

    /// The bytes (or some of them) that policy.json would have where it is larger than
    /// [`MAX_POLICY_JSON`] even with no policy that can be left out: the node's own file, or what
    /// only refuses, is that large. Nothing of this may be written then.
    #[must_use]
    pub fn too_large(&self) -> Option<usize> {
        self.too_large
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
    let Ok(rendered) = render_on(bundle, node, facts, |_| Ok::<_, Infallible>(None));
    rendered
}

/// Renders everything. Where a namespace had a file before nodeseal, that file and not the node's
/// policy.json is what its new one builds on: `base_of` gives it, and may be asked twice.
///
/// What would become too large is known before it is built, and never costs more than what is
/// written. Of policies that take too much the largest are left out first (or refuse, if they say
/// so), each with [`Reason::TooLarge`]:
///
/// - of the cluster's, until policy.json is within [`MAX_POLICY_JSON`];
/// - of a namespace's, until they add no more than [`MAX_NAMESPACE_ADDS`] to its file;
/// - where all files of namespaces take more than [`MAX_NAMESPACE_BYTES`], the smallest are written.
///
/// # Errors
///
/// Those of `base_of`.
pub fn render_on<E>(
    bundle: &Bundle,
    node: &NodeFacts,
    facts: &CrioFacts,
    base_of: impl FnMut(&str) -> Result<Option<PolicyJson>, E>,
) -> Result<Rendered, E> {
    let mut diagnostics = Vec::new();
    let mut texts = Texts::new();
    let (mut of_cluster, mut of_namespaces) = (Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for policy in bundle.policies() {
        let whole = Standing {
            policy,
            rules: Vec::new(),
            refuses: false,
        };
        let standing = match capability::crio::express(policy, facts.version) {
            Ok(rules) => Some(Standing {
                rules: texts.ids_of(&rules),
                ..whole
            }),
            Err(limits) => {
                diagnostics.extend(limits.into_iter().map(|limit| limit.diagnostic(policy)));
                let enforces = policy.requirement().mode() == Mode::Enforce;
                whole.reduced().filter(|_| enforces)
            }
        };
        match policy.id().namespace() {
            None => of_cluster.extend(standing),
            Some(namespace) => of_namespaces.entry(namespace).or_default().extend(standing),
        }
    }
    of_namespaces.retain(|_, standing: &mut Vec<_>| !standing.is_empty());

    let cluster_wide =
        bundle.settings().default_action == DefaultAction::Reject || !of_cluster.is_empty();
    let all = of_namespaces.values().flatten();
    let ground = Ground {
        bundle,
        node,
        of_namespaces: all
            .flat_map(|standing| standing.policy.scopes().iter().map(Scope::as_str))
            .collect(),
    };
    let Fitted {
        layer: cluster,
        made: table,
        fits,
        reduced,
    } = fit(
        of_cluster,
        (bundle, node),
        MAX_POLICY_JSON,
        |layer, shares| {
            let base = &facts.base;
            Table::new(&ground, layer, base, MAX_POLICY_JSON, &mut texts, shares)
        },
    );
    diagnostics.extend(budget::of_cluster(reduced));
    let too_large = (!fits && cluster_wide).then_some(table.bytes());
    let policy = cluster_wide.then(|| match too_large {
        None => budget::file(table.write(None, &texts)),
        // No reader takes it, so whatever is in force stays.
        Some(_) => budget::file(Vec::new()),
    });
    let own = budget::namespaces(
        &ground,
        (&cluster, &table),
        of_namespaces,
        &mut texts,
        base_of,
    )?;
    diagnostics.extend(own.diagnostics);
    let needs = Needs::of(budget::signed(&cluster.standing).chain(own.signed));
    let (locations, taken) = needs.settle(&Taken::from(facts.taken_locations.clone()));
    diagnostics.extend(taken);
    sort(&mut diagnostics);
    Ok(Rendered {
        policy,
        namespaces: own.files,
        locations,
        diagnostics,
        needs,
        too_large,
    })
}

fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| (&a.namespace, &a.policy).cmp(&(&b.namespace, &b.policy)));
}

#[cfg(test)]
#[path = "render_tests.rs"]
pub(in crate::crio) mod tests;
