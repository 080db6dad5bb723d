//! What rendering makes of a case.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, ensure};
use crds::Problem;
use crds::load::{LoadedTrustRoot, Source, load};
use policy::aggregate::{self, Condition, Finding, InForce, Resolution, Truth, aggregate};
use policy::bundle::Bundle;
use policy::capability::{self, Runtime};
use policy::containerd::{self, ContainerdFacts};
use policy::crio::document::PolicyJson;
use policy::crio::registries_conf;
use policy::crio::registries_d::{RegistriesD, Taken};
use policy::crio::render::{self as crio, CrioFacts, Rendered};
use policy::files::{Diagnostic, FileSet};
use policy::flatten::{NodeFacts, flatten};
use policy::model::Policy;
use policy::paths;
use policy::scope::Scope;
use serde::Serialize;

use crate::case::{self, Case};

const REPORT: &str = "report.json";
/// What CRI-O's packages install.
pub(crate) const ACCEPT: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

/// Files, and what is said about them.
pub(crate) struct Outcome {
    pub(crate) files: FileSet,
    pub(crate) report: Report,
    /// On a node with CRI-O.
    pub(crate) crio: Option<(Rendered, CrioFacts)>,
}

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// `policy authority/field: Reason`, without what there is none of.
    pub(crate) warnings: Vec<String>,
    pub(crate) problems: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trust_roots: Vec<Root>,
    /// For each valid policy what its conditions say once this node, the only one, runs it.
    pub(crate) conditions: BTreeMap<String, Vec<String>>,
}

/// A trust root that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Root {
    name: String,
    digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filtered: Vec<String>,
}

/// The files below `expected`.
pub(crate) type Expected = BTreeMap<String, String>;

/// What the node of this case gets of these policies.
pub(crate) fn outcome(case: &Case, sources: &[Source]) -> Result<Outcome> {
    let loaded = load(sources);
    let policies = loaded.policies.iter().map(|loaded| loaded.policy.clone());
    let bundle = Bundle::new(loaded.settings.clone().unwrap_or_default(), policies);
    let exempt = case.node.exempt.iter().map(|scope| Scope::parse(scope));
    let facts = NodeFacts {
        exempt: exempt.collect::<Result<_, _>>()?,
        ..NodeFacts::default()
    };
    let version = case.version()?;
    let (runtime, name) = match case.node.runtime {
        case::Runtime::Containerd => (Runtime::Containerd(Some(version)), "containerd"),
        case::Runtime::CriO => (Runtime::Crio(version), "cri-o"),
    };
    let (files, diagnostics, crio) = match case.node.runtime {
        case::Runtime::Containerd => {
            let flat = flatten(&bundle, &facts);
            let containerd = ContainerdFacts {
                config_version: case.config_version()?,
                drop_in: case.node.drop_in,
                ..ContainerdFacts::default()
            };
            let files = containerd::render(&flat, &bundle.digest(), &containerd);
            let diagnostics = capability::diagnostics(bundle.policies(), runtime);
            (files, diagnostics, None)
        }
        case::Runtime::CriO => {
            let (rendered, crio) = render(case, &bundle, &facts)?;
            let diagnostics = rendered.diagnostics.clone();
            (rendered.files(&crio), diagnostics, Some((rendered, crio)))
        }
    };
    let warnings = capability::warnings(bundle.policies(), runtime);
    let runtime_name = format!("{name} {version}");
    let conditions = bundle.policies().map(|policy| {
        let conditions = conditions(policy, (runtime, &runtime_name), &diagnostics);
        (policy.id().to_string(), conditions)
    });
    let report = Report {
        warnings: warnings.iter().map(line).collect(),
        problems: loaded.problems.iter().map(Problem::to_string).collect(),
        trust_roots: loaded.trust_roots.into_iter().map(root).collect(),
        conditions: conditions.collect(),
        diagnostics,
    };
    Ok(Outcome {
        files,
        report,
        crio,
    })
}

/// As the agent does on a node with these files of its own.
fn render(case: &Case, bundle: &Bundle, node: &NodeFacts) -> Result<(Rendered, CrioFacts)> {
    let base = case.base.as_deref().unwrap_or(ACCEPT);
    let facts = CrioFacts {
        version: case.version()?,
        policy_path: paths::CRIO_POLICY.to_owned(),
        namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
        base: PolicyJson::parse(base.as_bytes()).context("base.json")?,
        taken_locations: BTreeSet::new(),
    };
    let mut taken = Taken::default();
    for (name, text) in &case.registries_d {
        let read: RegistriesD = serde_saphyr::from_str(text).with_context(|| name.clone())?;
        let twice = taken.add(name, read);
        ensure!(twice.is_empty(), "{}", twice.join("; "));
    }
    let conf: Vec<registries_conf::Source<'_>> = case
        .registries_conf
        .iter()
        .map(|(name, text)| registries_conf::Source { name, text })
        .collect();
    let registries = match conf.split_first() {
        Some((main, drop_ins)) => registries_conf::merge(Some(*main), drop_ins)
            .map_err(|why| anyhow!("{}: {}", why.file, why.error))?,
        None => Vec::new(),
    };
    let rendered = crio::render(bundle, node, &facts).with_registries(&[&registries], &taken);
    Ok((rendered, facts))
}

fn line(warning: &Diagnostic) -> String {
    let namespace = warning.namespace.iter();
    let policy = namespace.chain([&warning.policy]).map(String::as_str);
    let field = Some(&warning.field).filter(|field| !field.is_empty());
    let place = warning.authority.iter().chain(field).map(String::as_str);
    let names = [policy.collect::<Vec<_>>(), place.collect()];
    let names: Vec<String> = names.iter().map(|names| names.join("/")).collect();
    format!("{}: {}", names.join(" ").trim_end(), warning.reason)
}

fn root(loaded: LoadedTrustRoot) -> Root {
    Root {
        name: loaded.name,
        digest: loaded.digest.to_string(),
        filtered: loaded.filtered,
    }
}

/// The conditions of a policy when the only node runs it, as `type=status reason: message`.
fn conditions(
    policy: &Policy,
    (runtime, name): (Runtime, &str),
    diagnostics: &[Diagnostic],
) -> Vec<String> {
    let digest = policy.digest();
    let unsupported = diagnostics
        .iter()
        .find(|diagnostic| {
            diagnostic.policy == policy.id().name()
                && diagnostic.namespace.as_deref() == policy.id().namespace()
        })
        .map(|diagnostic| Finding::new(diagnostic.reason.as_str(), diagnostic.message.clone()));
    let warnings = capability::of(policy, runtime).warnings;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let report = aggregate::Report {
        applied: Truth::True,
        applied_finding: Finding::new("Applied", ""),
        enforcing: Truth::Unknown,
        enforcing_finding: Finding::new("NotProbed", ""),
        ready: Truth::True,
    };
    let spec = aggregate::Spec {
        invalid: None,
        resolution: Resolution::Resolved,
        inexpressible: None,
        in_force: InForce::Current(digest.clone()),
        halted: None,
        holds: None,
        stalled: None,
    };
    let node = aggregate::Node {
        name: "node",
        selected: true,
        reachable: true,
        joining: false,
        runtime: name,
        unsupported: unsupported.as_ref(),
        warnings: &warnings,
        applied: Some(&digest),
        report: Some(&report),
    };
    let line = |condition: &Condition| {
        let Finding { reason, message } = &condition.finding;
        let (kind, status) = (condition.kind.as_str(), condition.status.as_str());
        format!("{kind}={status} {reason}: {message}")
    };
    let summary = aggregate(&spec, [node]);
    summary.conditions.iter().map(line).collect()
}

impl Outcome {
    /// As it stands below `expected`.
    pub(crate) fn expected(&self) -> Result<Expected> {
        let mut expected = Expected::new();
        for (path, file) in &self.files {
            ensure!(file.mode == 0o644, "{path} has mode {:o}", file.mode);
            expected.insert(path.clone(), String::from_utf8(file.bytes.clone())?);
        }
        let mut report = serde_json::to_string_pretty(&self.report)?;
        report.push('\n');
        expected.insert(REPORT.to_owned(), report);
        Ok(expected)
    }
}
