//! One call from texts to policies: what the command line and a node without a cluster share.

use std::collections::BTreeMap;

use policy::bundle::Settings;
use policy::model::{Policy, PolicyId};

use crate::files::Read;
use crate::keys::KeyStore;
use crate::limits;
use crate::manifest::{self, Document};
use crate::problem::{Layer, Problem, Severity};
use crate::types::EnforcementConfigSpec;
use crate::validate::catalog::Kind;
use crate::validate::cel::Rules;
use crate::validate::object::{self, ObjectName, Subject};
use crate::validate::report::Report;
use crate::validate::{self, Valid};

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that problems carry.
    pub name: String,
    /// The content.
    pub text: String,
}

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceRef {
    /// The file's name as it was given.
    pub file: String,
    /// The object's first line, counted from 1.
    pub line: u64,
}

/// A valid policy and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Where it stands.
    pub source: SourceRef,
}

/// An object of the group that is not valid. A policy that was in force under this id should stay
/// so; a configuration likewise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvalidObject {
    /// `Kind/name` or `Kind/namespace/name`.
    pub object: String,
    /// Which policy it is; nothing for other kinds and where the object has no usable name.
    pub policy: Option<PolicyId>,
    /// Where it stands.
    pub source: SourceRef,
}

/// Everything that a set of files says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The valid policies, sorted by id.
    pub policies: Vec<LoadedPolicy>,
    /// What nodes need of the `EnforcementConfig`. Nothing where there is none, or none that is
    /// valid: then `invalid` has it.
    pub settings: Option<Settings>,
    /// The whole `EnforcementConfig` that `settings` comes from.
    pub config: Option<EnforcementConfigSpec>,
    /// Where that stands.
    pub config_source: Option<SourceRef>,
    /// All problems, sorted by file, line and column.
    pub problems: Vec<Problem>,
    /// The objects that are not valid, sorted.
    pub invalid: Vec<InvalidObject>,
    /// The files that could not be read whole, or hold something that cannot be recognised, sorted:
    /// which policies they were meant to hold is not known.
    pub broken_files: Vec<String>,
}

impl Loaded {
    /// Whether anything is not accepted.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Whether anything may not do what its author expects.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Warning)
    }

    /// The problems of one severity.
    pub fn problems_of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .filter(move |problem| problem.severity == severity)
    }
}

/// An object of the group, on its way to be checked.
struct Candidate<'a> {
    document: &'a Document,
    kind: &'static Kind,
    name: ObjectName,
}

/// Checks what [`crate::files::read`] has read, its problems included.
#[must_use]
pub fn load_read(read: &Read) -> Loaded {
    let mut loaded = load(&read.sources);
    let unread = read
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    loaded
        .broken_files
        .extend(unread.map(|problem| problem.file.clone()));
    loaded.problems.extend(read.problems.iter().cloned());
    sort(&mut loaded);
    loaded
}

/// Checks all objects of all files together: keys are looked up in the ConfigMaps and Secrets
/// among them.
#[must_use]
pub fn load(sources: &[Source]) -> Loaded {
    let mut loaded = Loaded::default();
    let mut documents = Vec::new();
    for Source { name, text } in sources {
        let parsed = manifest::parse(name, text);
        if !parsed.problems.is_empty() {
            loaded.broken_files.push(name.clone());
        }
        loaded.problems.extend(parsed.problems);
        documents.extend(parsed.documents);
    }
    let (candidates, keys) = sort_out(&mut loaded, &documents);
    let mut rules = Rules::default();
    let mut config = None;
    for candidate in candidates {
        let Candidate {
            document,
            kind,
            name,
        } = &candidate;
        let mut report = Report::new(document, &name.to_string());
        match validate::check(&mut report, &mut rules, document, kind, name, &keys) {
            Some(Valid::Policy(policy)) => {
                loaded.policies.push(LoadedPolicy {
                    policy: *policy,
                    source: source(document),
                });
            }
            Some(Valid::Config(spec, valid)) => {
                note_cluster_only(&mut report, &spec);
                config = Some((*spec, *valid, source(document)));
            }
            None => loaded.invalid.push(invalid(document, name)),
        }
        loaded.problems.extend(report.finish());
    }
    if let Some((spec, config, source)) = config {
        limits::check(&mut loaded, &documents, &config);
        loaded.settings = Some(config.settings);
        loaded.config = Some(spec);
        loaded.config_source = Some(source);
    }
    sort(&mut loaded);
    loaded
}

/// What only the operator acts on. Said where the value is not the one that holds anyway.
fn note_cluster_only(report: &mut Report<'_>, spec: &EnforcementConfigSpec) {
    let default = EnforcementConfigSpec::default();
    let (containerd, crio) = (&spec.containerd, &spec.crio);
    for (field, differs) in [
        ("rollout", spec.rollout != default.rollout),
        ("taint", spec.taint != default.taint),
        (
            "containerd.restart",
            containerd.restart != default.containerd.restart,
        ),
        (
            "containerd.fixLocalPull",
            containerd.fix_local_pull != default.containerd.fix_local_pull,
        ),
        ("crio.restart", crio.restart != default.crio.restart),
        (
            "crio.staleImages",
            crio.stale_images != default.crio.stale_images,
        ),
        ("probe.interval", spec.probe != default.probe),
    ] {
        if differs {
            let message = "a node that runs without a cluster does not act on this: there, and in `nodeseal render`, it changes nothing";
            report.add(
                Layer::Program,
                Severity::Note,
                &format!("spec.{field}"),
                "ClusterOnly",
                message,
            );
        }
    }
}

/// Finds out what each document is. Of objects that stand here twice none is left, since nobody
/// can know which one is meant.
fn sort_out<'a>(loaded: &mut Loaded, documents: &'a [Document]) -> (Vec<Candidate<'a>>, KeyStore) {
    let mut keys = KeyStore::default();
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut first: BTreeMap<ObjectName, SourceRef> = BTreeMap::new();
    let mut twice = Vec::new();
    for document in documents {
        let mut report = Report::new(document, "");
        let subject = object::subject(&mut report, document);
        loaded.problems.extend(report.finish());
        let (Subject::Ours(_, name) | Subject::Keys(name)) = &subject else {
            match subject {
                Subject::Refused(name) => loaded.invalid.push(invalid(document, &name)),
                Subject::Unclear => loaded.broken_files.push(document.file.clone()),
                _ => {}
            }
            continue;
        };
        let mut report = Report::new(document, &name.to_string());
        if let Some(SourceRef { file, line }) = first.get(name).filter(|_| !name.name.is_empty()) {
            let message = format!(
                "stands here twice, first in {file}:{line}, and neither is used: remove or rename one"
            );
            report.add(
                Layer::Program,
                Severity::Error,
                "metadata.name",
                "Duplicate",
                message,
            );
            twice.push(name.clone());
        } else {
            first.insert(name.clone(), source(document));
        }
        loaded.problems.extend(report.finish());
        match subject {
            Subject::Ours(kind, name) => candidates.push(Candidate {
                document,
                kind,
                name,
            }),
            Subject::Keys(name) => {
                keys.insert(
                    document,
                    name.namespace.as_deref().unwrap_or_default(),
                    &name.name,
                );
            }
            _ => {}
        }
    }
    let (ambiguous, candidates): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| twice.contains(&candidate.name));
    let twice_invalid = ambiguous
        .iter()
        .map(|twice| invalid(twice.document, &twice.name));
    loaded.invalid.extend(twice_invalid);
    for name in twice {
        keys.remove(&name);
    }
    (candidates, keys)
}

pub(crate) fn source(document: &Document) -> SourceRef {
    SourceRef {
        file: document.file.clone(),
        line: document.root.position.line,
    }
}

fn invalid(document: &Document, name: &ObjectName) -> InvalidObject {
    let id = match (&name.namespace, name.name.clone()) {
        (_, own) if own.is_empty() || !name.kind.ends_with("ImageSignaturePolicy") => None,
        (Some(namespace), name) => Some(PolicyId::Namespaced {
            namespace: namespace.clone(),
            name,
        }),
        (None, name) => Some(PolicyId::Cluster { name }),
    };
    InvalidObject {
        object: name.to_string(),
        policy: id,
        source: source(document),
    }
}

fn sort(loaded: &mut Loaded) {
    loaded
        .policies
        .sort_by(|a, b| a.policy.id().cmp(b.policy.id()));
    loaded.problems.sort();
    loaded.problems.dedup();
    loaded.invalid.sort();
    loaded.invalid.dedup();
    loaded.broken_files.sort();
    loaded.broken_files.dedup();
}
