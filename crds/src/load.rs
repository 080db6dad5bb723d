//! One call from texts to policies: what the command line and a node without a cluster share.

mod loaded;

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::advice::{Around, Input};
use policy::bundle::Settings;
use policy::model::PolicyId;
use policy::trust::Parsed;

use crate::advice;
use crate::beside::Beside;
use crate::files::Read;
use crate::limits;
use crate::manifest::{self, Document};
use crate::problem::{Layer, Severity};
use crate::types::EnforcementConfigSpec;
use crate::validate::catalog::Kind;
use crate::validate::cel::Rules;
use crate::validate::object::{self, ObjectName, Subject};
use crate::validate::program;
use crate::validate::report::Report;
use crate::validate::{self, Valid};

pub use loaded::{InvalidObject, Loaded, LoadedPolicy, LoadedTrustRoot, Source, SourceRef};

const TRUST_ROOT: &str = "TrustRoot";

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

/// Checks all objects of all files together, whatever their order: keys are looked up in the
/// ConfigMaps and Secrets among them, and trust roots in the `TrustRoot`s.
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
    let (mut candidates, mut beside) = sort_out(&mut loaded, &documents);
    // Policies refer to trust roots.
    candidates.sort_by_key(|candidate| candidate.kind.name != TRUST_ROOT);
    let mut rules = Rules::default();
    let mut config = None;
    let mut inputs = Vec::new();
    for candidate in candidates {
        let Candidate {
            document,
            kind,
            name,
        } = &candidate;
        let mut report = Report::new(document, &name.to_string());
        match validate::check(&mut report, &mut rules, document, kind, name, &beside) {
            Some(Valid::Policy(policy, input)) => {
                inputs.push((*input, *document, name.to_string()));
                loaded.policies.push(LoadedPolicy {
                    policy: *policy,
                    source: source(document),
                });
            }
            Some(Valid::Config(spec, valid)) => {
                note_cluster_only(&mut report, &spec);
                config = Some((*spec, *valid, source(document)));
            }
            Some(Valid::TrustRoot(parsed)) => {
                let Parsed { root, filtered } = *parsed;
                let root = Arc::new(root);
                beside.trust_roots.insert(&name.name, Arc::clone(&root));
                loaded.trust_roots.push(LoadedTrustRoot {
                    name: name.name.clone(),
                    digest: root.digest(),
                    root,
                    filtered,
                    source: source(document),
                });
            }
            None => refuse(&mut loaded, &mut beside, document, name),
        }
        loaded.problems.extend(report.finish());
    }
    let settings = config.as_ref().map(|(_, config, _)| &config.settings);
    advise_together(&mut loaded, inputs, settings);
    if let Some((spec, config, source)) = config {
        limits::check(&mut loaded, &documents, &config);
        loaded.settings = Some(config.settings);
        loaded.config = Some(spec);
        loaded.config_source = Some(source);
    }
    sort(&mut loaded);
    loaded
}

/// Adds what the valid policies and the configuration make of each other. The product's own images
/// are not known here.
fn advise_together(
    loaded: &mut Loaded,
    policies: Vec<(Input, &Document, String)>,
    settings: Option<&Settings>,
) {
    let around = settings.map(|settings| Around {
        exempt: settings.exempt_images.clone(),
        default_action: settings.default_action,
        ..Around::default()
    });
    let places: Vec<(PolicyId, &Document, String)> = policies
        .iter()
        .map(|(input, document, name)| (input.id.clone(), *document, name.clone()))
        .collect();
    let inputs: Vec<Input> = policies.into_iter().map(|(input, ..)| input).collect();
    let all = advice::together(&inputs, &around.unwrap_or_default());
    for (id, document, name) in places {
        let mut report = Report::new(document, &name);
        program::warn(&mut report, all.get(&id).map_or(&[][..], Vec::as_slice));
        loaded.problems.extend(report.finish());
    }
}

/// Notes an object that is not valid.
fn refuse(loaded: &mut Loaded, beside: &mut Beside, document: &Document, name: &ObjectName) {
    if name.kind == TRUST_ROOT && !name.name.is_empty() {
        beside.trust_roots.refuse(&name.name, &source(document));
    }
    loaded.invalid.push(invalid(document, name));
}

/// What only the operator acts on. Said where the value is not the one that holds anyway.
fn note_cluster_only(report: &mut Report<'_>, spec: &EnforcementConfigSpec) {
    let default = EnforcementConfigSpec::default();
    for (field, differs) in [
        ("rollout", spec.rollout != default.rollout),
        ("taint", spec.taint != default.taint),
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
fn sort_out<'a>(loaded: &mut Loaded, documents: &'a [Document]) -> (Vec<Candidate<'a>>, Beside) {
    let mut beside = Beside::default();
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut first: BTreeMap<ObjectName, SourceRef> = BTreeMap::new();
    let mut twice = Vec::new();
    for document in documents {
        let mut report = Report::new(document, "");
        let subject = object::subject(&mut report, document);
        loaded.problems.extend(report.finish());
        let (Subject::Ours(_, name) | Subject::Keys(name)) = &subject else {
            match subject {
                Subject::Refused(name) => refuse(loaded, &mut beside, document, &name),
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
                beside.keys.insert(
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
    for twice in ambiguous {
        refuse(loaded, &mut beside, twice.document, &twice.name);
    }
    for name in twice {
        beside.keys.remove(&name);
    }
    (candidates, beside)
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
    loaded.trust_roots.sort_by(|a, b| a.name.cmp(&b.name));
    loaded.problems.sort();
    loaded.problems.dedup();
    loaded.invalid.sort();
    loaded.invalid.dedup();
    loaded.broken_files.sort();
    loaded.broken_files.dedup();
}
