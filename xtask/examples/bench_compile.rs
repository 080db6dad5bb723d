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

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
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

/// One thing that was done some times.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    median: Duration,
    fastest: Duration,
    /// How much larger the process was than before, at most.
    bytes: u64,
    /// Of what came out.
    size: u64,
}

/// What one number of policies costs.
#[derive(Debug, Serialize, Deserialize)]
struct Point {
    policies: usize,
    containerd: Cost,
    crio: Cost,
    read: Cost,
    /// Nothing where the policies are more than one bundle holds.
    encode: Option<Cost>,
    decode: Option<Cost>,
    json: usize,
    namespaces: Option<Namespaces>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Namespaces {
    cost: Cost,
    files: usize,
    /// Refused, for the sum of the sizes.
    left_out: usize,
}

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    if let Some(count) = arguments.next() {
        let point = measure(count.parse().context("a number of policies")?)?;
        println!("{}", serde_json::to_string(&point)?);
        return Ok(());
    }
    let points: Vec<Point> = POINTS
        .into_iter()
        .map(in_own_process)
        .collect::<Result<_>>()?;
    show(&points);
    let goal = points
        .iter()
        .find(|point| point.policies == GOAL_AT)
        .context("the goal's point")?;
    ensure!(
        goal.containerd.median < GOAL && goal.crio.median < GOAL,
        "flatten and render of {GOAL_AT} policies is to take less than {} ms",
        GOAL.as_millis()
    );
    Ok(())
}

/// So that no point has memory of another.
fn in_own_process(count: usize) -> Result<Point> {
    let mut command = Command::new(env::current_exe()?);
    let output = command
        .arg(count.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "{count} policies: {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("read the figures")
}

fn measure(count: usize) -> Result<Point> {
    let material = Material::new()?;
    let policies: Vec<Policy> = (0..count)
        .map(|i| material.policy(i, None))
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
    let crio = || crio::render(&bundle, &node, &facts).files(&facts);
    let size = |files: &FileSet| files.values().map(|file| file.bytes.len() as u64).sum();
    let file = containerd()[paths::VERIFIER_POLICY].bytes.clone();
    VerifierPolicy::from_json(&file).context("the verifier's reader")?;
    let rendered = crio::render(&bundle, &node, &facts);
    ensure!(
        rendered.diagnostics.is_empty(),
        "{:?}",
        rendered.diagnostics.first()
    );
    drop(rendered);

    let name = crds::bundle::object_name(&digest);
    let spec = crds::bundle::encode(&bundle).ok();
    Ok(Point {
        policies: count,
        containerd: cost(containerd, size)?,
        crio: cost(crio, size)?,
        read: cost(|| VerifierPolicy::from_json(&file), |_| file.len() as u64)?,
        encode: match &spec {
            Some(spec) => Some(cost(
                || crds::bundle::encode(&bundle),
                |_| spec.data.len() as u64,
            )?),
            None => None,
        },
        decode: match &spec {
            Some(spec) => Some(cost(|| crds::bundle::decode(&name, spec), |_| 0)?),
            None => None,
        },
        json: bundle.to_json().len(),
        namespaces: if count == GOAL_AT {
            Some(namespaces(&material, &facts)?)
        } else {
            None
        },
    })
}

/// As many policies, but some of them are those of namespaces, one each.
fn namespaces(material: &Material, facts: &CrioFacts) -> Result<Namespaces> {
    let namespace = |i: usize| i.checked_sub(GOAL_AT - NAMESPACES);
    let policies: Vec<Policy> = (0..GOAL_AT)
        .map(|i| material.policy(i, namespace(i)))
        .collect::<Result<_>>()?;
    let bundle = Bundle::new(Settings::default(), policies);
    let node = NodeFacts::default();
    let size = |rendered: &Rendered| -> u64 {
        rendered
            .namespaces
            .values()
            .map(|file| file.bytes.len() as u64)
            .sum()
    };
    let rendered = crio::render(&bundle, &node, facts);
    let files = rendered.namespaces.len();
    drop(rendered);
    Ok(Namespaces {
        cost: cost(|| crio::render(&bundle, &node, facts), size)?,
        files,
        left_out: NAMESPACES - files,
    })
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

/// Does something again and again. The memory is that of the first time, its result included.
fn cost<T>(mut run: impl FnMut() -> T, size: impl Fn(&T) -> u64) -> Result<Cost> {
    fs::write("/proc/self/clear_refs", "5").context("forget the peak")?;
    let before = memory("VmRSS:")?;
    let first = black_box(run());
    let bytes = memory("VmHWM:")?.saturating_sub(before);
    let size = size(&first);
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
        bytes,
        size,
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

fn show(points: &[Point]) {
    println!("| policies (scopes) | | median | fastest | per policy | memory | output |");
    println!("|---|---|---|---|---|---|---|");
    for point in points {
        let row = |what: &str, cost: &Cost| {
            println!(
                "| {} ({}) | {what} | {:.2} ms | {:.2} ms | {:.1} µs | {:.1} MB | {:.2} MB |",
                point.policies,
                5 * point.policies,
                millis(cost.median),
                millis(cost.fastest),
                millis(cost.median) * 1e3 / point.policies as f64,
                cost.bytes as f64 / 1e6,
                cost.size as f64 / 1e6,
            );
        };
        row("containerd: flatten and render", &point.containerd);
        row("CRI-O: render", &point.crio);
        row("the verifier reads its policy", &point.read);
        match (&point.encode, &point.decode) {
            (Some(encode), Some(decode)) => {
                row("bundle: encode", encode);
                row("bundle: decode", decode);
            }
            _ => println!(
                "| {} ({}) | bundle: more than one holds | | | | | {:.2} MB of JSON |",
                point.policies,
                5 * point.policies,
                point.json as f64 / 1e6
            ),
        }
        if let Some(namespaces) = &point.namespaces {
            row(
                &format!("CRI-O: render, {NAMESPACES} of them in namespaces of their own"),
                &namespaces.cost,
            );
        }
    }
    println!();
    for point in points {
        println!(
            "{} policies: the bundle has {:.2} MB of JSON",
            point.policies,
            point.json as f64 / 1e6
        );
        if let Some(Namespaces {
            cost,
            files,
            left_out,
        }) = &point.namespaces
        {
            println!(
                "{} policies, {NAMESPACES} namespaces: {files} files with {:.1} MB, {left_out} left out for their size",
                point.policies,
                cost.size as f64 / 1e6
            );
        }
    }
    for (name, of) in [
        (
            "containerd",
            (|point| point.containerd.median) as fn(&Point) -> Duration,
        ),
        ("CRI-O", |point| point.crio.median),
    ] {
        for pair in points.windows(2) {
            let growth = of(&pair[1]).as_secs_f64() / of(&pair[0]).as_secs_f64();
            let more = pair[1].policies as f64 / pair[0].policies as f64;
            println!(
                "{name}, {} to {} policies: {growth:.1} times the time for {more:.0} times the policies ({:.2})",
                pair[0].policies,
                pair[1].policies,
                growth / more
            );
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
