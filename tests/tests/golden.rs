//! Cases as folders: policies and a node in, its files and what they leave out.
//!
//! `tests/golden/<what happens>/` holds `policies.yaml`, `node.yaml`, the node's own `base.json`
//! (its policy.json) and `registries.conf` where it has them, and under `expected/` the files at their paths and `report.json`.
//! `NODESEAL_GOLDEN=write` rewrites what is expected. Either way every policy.json for CRI-O is
//! given to the library that CRI-O reads it with first, so none is kept that it refuses.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use crds::load::{Source, load};
use e2e::{Folder, Judge};
use policy::aggregate::{self, Condition, Finding, InForce, Resolution, Truth, aggregate};
use policy::bundle::Bundle;
use policy::containerd::{self, ContainerdFacts};
use policy::crio::document::PolicyJson;
use policy::crio::mirrors;
use policy::crio::render::{self as crio, CrioFacts};
use policy::files::{Diagnostic, FileSet};
use policy::flatten::{NodeFacts, flatten};
use policy::model::Policy;
use policy::paths;
use policy::scope::Scope;
use policy::version::Version;
use serde::{Deserialize, Serialize};

const POLICIES: &str = "policies.yaml";
const REPORT: &str = "report.json";

/// `node.yaml`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Node {
    runtime: Runtime,
    version: String,
    /// Scopes that the node itself needs, such as that of its sandbox image.
    #[serde(default)]
    exempt: Vec<String>,
    /// What other files in registries.d configure.
    #[serde(default)]
    taken_locations: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Runtime {
    CriO,
    Containerd,
}

/// `report.json`.
#[derive(Serialize)]
struct Report {
    diagnostics: Vec<Diagnostic>,
    problems: Vec<String>,
    /// For each valid policy what its conditions say once this node, the only one, runs it.
    conditions: BTreeMap<String, Vec<String>>,
}

/// The files below `expected`, the report among them.
type Expected = BTreeMap<String, String>;

#[test]
fn every_node_gets_the_files_that_its_policies_mean() -> Result<()> {
    let mut judge = Judge::start()?;
    let mut wrong = Vec::new();
    let mut outcomes: BTreeMap<Expected, PathBuf> = BTreeMap::new();
    let cases = cases()?;
    // All before any is written.
    for case in &cases {
        let found = outcome(case).with_context(|| case.display().to_string())?;
        accepted(&mut judge, &found).with_context(|| case.display().to_string())?;
        if let Some(twin) = outcomes.insert(found, case.clone()) {
            bail!("{} has the outcome of {}", case.display(), twin.display());
        }
    }
    let write_it = std::env::var("NODESEAL_GOLDEN").is_ok_and(|value| value == "write");
    for (found, case) in &outcomes {
        let expected = case.join("expected");
        if write_it {
            write(&expected, found)?;
        }
        let wanted = read(&expected)?;
        for path in wanted.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            let (wanted, found) = (wanted.get(path), found.get(path));
            if wanted != found {
                let path = expected.join(path);
                let shown = |text: Option<&String>| text.map_or("nothing", |text| text).to_owned();
                wrong.push(format!(
                    "{}\nexpected:\n{}\nfound:\n{}",
                    path.display(),
                    shown(wanted),
                    shown(found)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nNODESEAL_GOLDEN=write accepts what was found",
        wrong.join("\n\n")
    );
    assert!(cases.len() >= 15, "{} cases", cases.len());
    Ok(())
}

fn cases() -> Result<Vec<PathBuf>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = fs::read_dir(&golden).with_context(|| golden.display().to_string())?;
    let mut cases = Vec::new();
    for entry in entries {
        cases.push(entry?.path());
    }
    cases.sort();
    Ok(cases)
}

/// What rendering makes of a case.
fn outcome(case: &Path) -> Result<Expected> {
    let text = |name: &str| {
        fs::read_to_string(case.join(name)).with_context(|| format!("{name} cannot be read"))
    };
    let node: Node = serde_saphyr::from_str(&text("node.yaml")?)?;
    let loaded = load(&[Source {
        name: POLICIES.to_owned(),
        text: text(POLICIES)?,
    }]);
    let policies = loaded.policies.iter().map(|loaded| loaded.policy.clone());
    let bundle = Bundle::new(loaded.settings.clone().unwrap_or_default(), policies);
    let exempt: Result<_, _> = node
        .exempt
        .iter()
        .map(|scope| Scope::parse(scope))
        .collect();
    let facts = NodeFacts { exempt: exempt? };
    let version: Version = node.version.parse()?;
    let (files, diagnostics) = match node.runtime {
        Runtime::Containerd => {
            let flat = flatten(&bundle, &facts);
            let files = containerd::render(&flat, &bundle.digest(), &ContainerdFacts::default());
            (files, containerd::diagnostics(&bundle, Some(version)))
        }
        Runtime::CriO => {
            let base = match fs::read(case.join("base.json")) {
                Ok(bytes) => bytes,
                Err(_) => br#"{"default":[{"type":"insecureAcceptAnything"}]}"#.to_vec(),
            };
            let crio_facts = CrioFacts {
                version,
                policy_path: paths::CRIO_POLICY.to_owned(),
                namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
                base: PolicyJson::parse(&base)?,
                taken_locations: node.taken_locations,
            };
            let conf = fs::read_to_string(case.join("registries.conf")).unwrap_or_default();
            let registries = mirrors::parse(&conf)?;
            let rendered =
                crio::render(&bundle, &facts, &crio_facts).with_mirrors(&registries, &crio_facts);
            (rendered.files(&crio_facts), rendered.diagnostics)
        }
    };
    let problems = loaded.problems.iter().map(ToString::to_string).collect();
    let runtime = match node.runtime {
        Runtime::Containerd => "containerd",
        Runtime::CriO => "cri-o",
    };
    let runtime = format!("{runtime} {version}");
    let conditions = bundle
        .policies()
        .map(|policy| {
            let conditions = conditions(policy, &runtime, &diagnostics);
            (policy.id().to_string(), conditions)
        })
        .collect();
    let report = Report {
        diagnostics,
        problems,
        conditions,
    };
    with_report(&files, &report)
}

/// The conditions of a policy when the only node runs it, as `type=status reason: message`.
fn conditions(policy: &Policy, runtime: &str, diagnostics: &[Diagnostic]) -> Vec<String> {
    let digest = policy.digest();
    let unsupported = diagnostics
        .iter()
        .find(|diagnostic| {
            diagnostic.policy == policy.id().name()
                && diagnostic.namespace.as_deref() == policy.id().namespace()
        })
        .map(|diagnostic| Finding::new(diagnostic.reason.as_str(), diagnostic.message.clone()));
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
        stalled: None,
    };
    let node = aggregate::Node {
        name: "node",
        selected: true,
        reachable: true,
        joining: false,
        runtime,
        unsupported: unsupported.as_ref(),
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

fn with_report(files: &FileSet, report: &Report) -> Result<Expected> {
    let mut expected = Expected::new();
    for (path, file) in files {
        ensure!(file.mode == 0o644, "{path} has mode {:o}", file.mode);
        expected.insert(path.clone(), String::from_utf8(file.bytes.clone())?);
    }
    let mut report = serde_json::to_string_pretty(report)?;
    report.push('\n');
    expected.insert(REPORT.to_owned(), report);
    Ok(expected)
}

/// That CRI-O's library reads every policy file, and that what is YAML parses.
fn accepted(judge: &mut Judge, files: &Expected) -> Result<()> {
    let folder = Folder::new("golden")?;
    for (path, text) in files {
        if path.starts_with("etc/crio/") {
            PolicyJson::parse(text.as_bytes()).with_context(|| path.clone())?;
            let file = folder.join("policy.json");
            fs::write(&file, text)?;
            if let Err(why) = judge.parse(&file)? {
                bail!("CRI-O would refuse {path}: {why}");
            }
        }
        if path.starts_with("etc/containers/registries.d/") {
            let _: serde_json::Value =
                serde_saphyr::from_str(text).with_context(|| path.clone())?;
        }
    }
    Ok(())
}

/// All files below a folder by their path; none where it is missing.
fn read(folder: &Path) -> Result<Expected> {
    let mut files = Expected::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        if !dir.exists() {
            continue;
        }
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

fn write(folder: &Path, files: &Expected) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file stands in a folder"))?;
        fs::write(path, text)?;
    }
    Ok(())
}
