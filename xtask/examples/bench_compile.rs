//! What it costs to turn policies into the files of nodes, by their number.
//! Run it with `cargo xtask bench compile`.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use clap::ValueEnum;
use policy::authority::{AuthorityDraft, SignerDraft, TrustRootRef, TrustRoots};
use policy::bundle::{Bundle, Settings};
use policy::containerd::{self, ContainerdFacts};
use policy::crio::document::PolicyJson;
use policy::crio::render::{self as crio, CrioFacts, Rendered};
use policy::files::FileSet;
use policy::flatten::{NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::paths;
use policy::trust::TrustRoot;
use policy::verifier::VerifierPolicy;
use policy::version::Version;
use serde::{Deserialize, Serialize};
use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

/// How many policies; each has five scopes.
const POINTS: [usize; 4] = [10, 100, 1_000, 5_000];
/// Where namespaces are measured, and the goal stands.
const GOAL_AT: usize = 1_000;
const NAMESPACES: usize = 300;
/// The most time for flatten and render at [`GOAL_AT`].
const GOAL: Duration = Duration::from_millis(50);
/// How many policies share a registry host.
const PER_HOST: usize = 20;
const BASE: &[u8] = br#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
/// Of each measurement; many where one is short.
const LEAST_ROUNDS: usize = 5;
const LEAST_TIME: Duration = Duration::from_millis(300);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Containerd,
    Crio,
    Namespaces,
    Read,
    Encode,
    Decode,
}

impl What {
    const fn title(self) -> &'static str {
        match self {
            Self::Containerd => "containerd: flatten and render",
            Self::Crio => "CRI-O: render",
            Self::Namespaces => "CRI-O: render, 300 of them in namespaces of their own",
            Self::Read => "the verifier reads its policy",
            Self::Encode => "bundle: encode",
            Self::Decode => "bundle: decode",
        }
    }
}

/// One thing that was done some times.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cost {
    median: Duration,
    fastest: Duration,
    /// How much larger the process was than before, at most; its result included.
    memory: u64,
    /// Of what came out.
    size: u64,
    /// What there is to say.
    note: String,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [count, what] = &arguments[..] {
        let what = What::from_str(what, false).map_err(Error::msg)?;
        let cost = measure(count.parse().context("a number of policies")?, what)?;
        println!("{}", serde_json::to_string(&cost)?);
        return Ok(());
    }
    println!("| policies (scopes) | | median | fastest | per policy | memory | output | |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut medians: Vec<(What, usize, Duration)> = Vec::new();
    for count in POINTS {
        for what in What::value_variants() {
            if *what == What::Namespaces && count != GOAL_AT {
                continue;
            }
            let Some(cost) = in_own_process(count, *what)? else {
                continue;
            };
            show(count, *what, &cost);
            medians.push((*what, count, cost.median));
        }
    }
    println!();
    for what in [What::Containerd, What::Crio, What::Read] {
        growth(what, &medians);
    }
    let slow = medians.iter().find(|(what, count, median)| {
        matches!(what, What::Containerd | What::Crio) && *count == GOAL_AT && *median >= GOAL
    });
    if let Some((what, count, median)) = slow {
        bail!(
            "{} of {count} policies takes {:.1} ms, and is to take less than {} ms",
            what.title(),
            millis(*median),
            GOAL.as_millis()
        );
    }
    Ok(())
}

/// So that nothing has memory that another freed.
fn in_own_process(count: usize, what: What) -> Result<Option<Cost>> {
    let mut command = Command::new(env::current_exe()?);
    let name = what.to_possible_value().context("a name")?;
    command.args([count.to_string().as_str(), name.get_name()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(
        output.status.success(),
        "{count} policies: {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("read the figures")
}

/// Nothing where there is nothing to measure.
fn measure(count: usize, what: What) -> Result<Option<Cost>> {
    let material = Material::new()?;
    // Of as many policies, some are those of namespaces, one each.
    let namespace = |i: usize| match what {
        What::Namespaces => i.checked_sub(count - NAMESPACES),
        _ => None,
    };
    let policies: Vec<Policy> = (0..count)
        .map(|i| material.policy(i, namespace(i)))
        .collect::<Result<_>>()?;
    let bundle = Bundle::new(Settings::default(), policies);
    let digest = bundle.digest();
    let node = NodeFacts::default();
    let facts = facts()?;
    let containerd = || {
        containerd::render(
            &flatten(&bundle, &node),
            &digest,
            &ContainerdFacts::default(),
        )
    };
    let no_note = String::new;
    let cost = match what {
        What::Containerd => cost(containerd, |files| (size(files), no_note())),
        What::Crio => {
            let render = || crio::render(&bundle, &node, &facts);
            cost(render, |rendered| {
                let left_out = rendered.diagnostics.len();
                let policy = rendered.policy.as_ref().map_or(0, |file| file.bytes.len());
                let said = format!("policy.json {policy} bytes, {left_out} diagnostics");
                (size(&rendered.files(&facts)), said)
            })
        }
        What::Namespaces => cost(|| crio::render(&bundle, &node, &facts), namespace_files),
        What::Read => {
            let file = containerd()[paths::VERIFIER_POLICY].bytes.clone();
            VerifierPolicy::from_json(&file).context("the verifier's reader")?;
            cost(
                || VerifierPolicy::from_json(&file),
                |_| (file.len() as u64, no_note()),
            )
        }
        What::Encode => cost(
            || crds::bundle::encode(&bundle),
            |encoded| match encoded {
                Ok(spec) => {
                    let json = bundle.to_json().len();
                    (spec.data.len() as u64, format!("of {json} bytes of JSON"))
                }
                Err(error) => (0, error.to_string()),
            },
        ),
        What::Decode => {
            let name = crds::bundle::object_name(&digest);
            match crds::bundle::encode(&bundle) {
                Ok(spec) => cost(
                    || crds::bundle::decode(&name, &spec),
                    |decoded| {
                        (
                            0,
                            decoded
                                .as_ref()
                                .map_or_else(ToString::to_string, |_| no_note()),
                        )
                    },
                ),
                Err(_) => return Ok(None),
            }
        }
    };
    cost.map(Some)
}

fn size(files: &FileSet) -> u64 {
    files.values().map(|file| file.bytes.len() as u64).sum()
}

fn namespace_files(rendered: &Rendered) -> (u64, String) {
    let files = &rendered.namespaces;
    let bytes = files.values().map(|file| file.bytes.len() as u64).sum();
    let left_out = NAMESPACES - files.len();
    let note = format!(
        "{} namespace files, {left_out} left out for their size",
        files.len()
    );
    (bytes, note)
}

fn facts() -> Result<CrioFacts> {
    Ok(CrioFacts {
        version: Version::new(1, 36, 0),
        policy_path: paths::CRIO_POLICY.to_owned(),
        namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
        base: PolicyJson::parse(BASE)?,
        taken_locations: BTreeSet::new(),
    })
}

/// What policies are made of.
struct Material {
    keys: Vec<String>,
    roots: TrustRoots,
    root: TrustRootRef,
}

impl Material {
    fn new() -> Result<Self> {
        let key = || -> Result<String> {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
            let der: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
            Ok(pem::encode(&pem::Pem::new(
                "PUBLIC KEY",
                der.as_ref().to_vec(),
            )))
        };
        let root = TrustRoot::from_trusted_root_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT)?;
        let root = Arc::new(root.root);
        Ok(Self {
            keys: (0..1_000).map(|_| key()).collect::<Result<_>>()?,
            root: TrustRootRef {
                name: "sigstore".to_owned(),
                digest: root.digest(),
            },
            roots: [(root.digest(), root)].into(),
        })
    }

    /// Five scopes, one inside another, some with a wildcard, a tag or an exclude; every twentieth
    /// covers what nineteen others cover. One to three keys, or a keyless identity.
    fn policy(&self, i: usize, namespace: Option<usize>) -> Result<Policy> {
        let host = format!("registry-{}.example.com", i / PER_HOST);
        let wide = i.is_multiple_of(PER_HOST) && namespace.is_none();
        let scopes = vec![
            if wide {
                host.clone()
            } else {
                format!("{host}/team-{i}")
            },
            format!("{host}/team-{i}/app"),
            format!("{host}/team-{i}/app/component:v{i}"),
            format!("*.team-{i}.corp.example"),
            format!("build.team-{i}.corp.example:5000/app"),
        ];
        let exclude = match i % 3 {
            0 => vec![format!("{host}/team-{i}/app/sandbox")],
            _ => Vec::new(),
        };
        let authorities = match i % 10 {
            9 => vec![self.keyless(i)],
            _ => (0..=i % 3).map(|at| self.key(i, at)).collect(),
        };
        let name = format!("policy-{i}");
        let id = match namespace {
            None => PolicyId::Cluster { name },
            Some(number) => PolicyId::Namespaced {
                namespace: format!("namespace-{number}"),
                name,
            },
        };
        let draft = PolicyDraft {
            id,
            scopes,
            exclude,
            on_unsupported: OnUnsupported::Ignore,
            requirement: RequirementDraft {
                mode: Mode::Enforce,
                threshold: if authorities.len() == 3 { 2 } else { 1 },
                authorities,
                signed_identity: SignedIdentity::MatchRepository {
                    unnamed: UnnamedSignatures::Accept,
                },
            },
        };
        Ok(Policy::new(draft, &self.roots)?)
    }

    fn key(&self, i: usize, at: usize) -> AuthorityDraft {
        let key = &self.keys[(3 * i + at) % self.keys.len()];
        AuthorityDraft::key(format!("signer-{at}"), key.as_str())
    }

    fn keyless(&self, i: usize) -> AuthorityDraft {
        AuthorityDraft {
            name: "release".to_owned(),
            signer: SignerDraft::Keyless {
                trust_root: self.root.clone(),
                identities: vec![IdentityDraft {
                    issuer: PatternDraft::Exact("https://accounts.example.com".to_owned()),
                    subject: PatternDraft::Exact(format!("release-{i}@example.com")),
                    claims: std::collections::BTreeMap::new(),
                }],
            },
        }
    }
}

/// Does something again and again. The memory is that of the first time; `judge` gives the size of
/// the result and what there is to say about it.
fn cost<T>(mut run: impl FnMut() -> T, judge: impl Fn(&T) -> (u64, String)) -> Result<Cost> {
    fs::write("/proc/self/clear_refs", "5").context("forget the peak")?;
    let before = memory("VmRSS:")?;
    let first = black_box(run());
    let memory = memory("VmHWM:")?.saturating_sub(before);
    let (size, note) = judge(&first);
    drop(first);
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < LEAST_ROUNDS || started.elapsed() < LEAST_TIME {
        let begun = Instant::now();
        let result = black_box(run());
        times.push(begun.elapsed());
        drop(result);
    }
    times.sort();
    Ok(Cost {
        median: times[times.len() / 2],
        fastest: times[0],
        memory,
        size,
        note,
    })
}

/// A figure of this process, in bytes.
fn memory(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let text = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = text.with_context(|| format!("no {name}"))?.parse()?;
    Ok(kib * 1024)
}

fn show(count: usize, what: What, cost: &Cost) {
    println!(
        "| {count} ({}) | {} | {:.2} ms | {:.2} ms | {:.1} µs | {:.1} MB | {:.2} MB | {} |",
        5 * count,
        what.title(),
        millis(cost.median),
        millis(cost.fastest),
        millis(cost.median) * 1e3 / count as f64,
        cost.memory as f64 / 1e6,
        cost.size as f64 / 1e6,
        cost.note,
    );
}

/// 1 is linear.
fn growth(what: What, medians: &[(What, usize, Duration)]) {
    let points: Vec<(usize, Duration)> = medians
        .iter()
        .filter(|(other, ..)| *other == what)
        .map(|&(_, count, median)| (count, median))
        .collect();
    for pair in points.windows(2) {
        let [(few, fast), (many, slow)] = pair else {
            continue;
        };
        let times = slow.as_secs_f64() / fast.as_secs_f64();
        let more = *many as f64 / *few as f64;
        println!(
            "- {}, {few} to {many} policies: {times:.1} times the time, {:.2} times the time per policy",
            what.title(),
            times / more
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
