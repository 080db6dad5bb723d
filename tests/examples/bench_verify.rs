//! The verifier against `cosign verify`: same image, key, registry and run, round by round in turn.
//! Run it with `cargo xtask bench verify`.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::cosign::{Cosign, Format, KeyPair, Version};
use e2e::node::Node;
use e2e::policies::PolicyText;
use e2e::{Image, Registry};
use policy::paths;
use serde::{Deserialize, Serialize};
use wait4::Wait4 as _;
use xtask::product::Product;

/// How many rounds each side runs.
const ROUNDS: usize = 40;

/// One run of one program.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Sample {
    wall: Duration,
    peak_bytes: u64,
}

fn main() -> Result<()> {
    let mut arguments = env::args();
    if arguments.nth(1).as_deref() == Some("--measure") {
        let command: Vec<String> = arguments.collect();
        return measure(&command);
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench())
}

/// Runs a program and prints what it cost. A process of its own that has done nothing before: what
/// a child is charged with at its start is the memory of its parent.
fn measure(command: &[String]) -> Result<()> {
    let [program, arguments @ ..] = command else {
        bail!("no program to measure")
    };
    let stdin = fs::File::open(env::var("STDIN_FILE").context("STDIN_FILE")?)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.env_remove("STDIN_FILE");
    let started = Instant::now();
    let used = command
        .spawn()
        .context("start the program")?
        .wait4()
        .context("wait for it")?;
    let wall = started.elapsed();
    ensure!(used.status.success(), "{program} failed: {}", used.status);
    let sample = Sample {
        wall,
        peak_bytes: used.rusage.maxrss,
    };
    std::io::stdout().write_all(serde_json::to_string(&sample)?.as_bytes())?;
    Ok(())
}

/// Something to run again and again.
struct Contender {
    name: &'static str,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    stdin: String,
}

impl Contender {
    fn run(&self) -> Result<Sample> {
        let stdin = tempfile::NamedTempFile::new()?;
        fs::write(stdin.path(), &self.stdin)?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("--measure").args(&self.command);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .env("STDIN_FILE", stdin.path())
            .stderr(Stdio::inherit())
            .arg0("measure");
        let output = command.output().context("start the measuring process")?;
        ensure!(
            output.status.success(),
            "{} could not be measured",
            self.name
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

async fn bench() -> Result<()> {
    let verifier = Product::Verifier.locate()?;
    let size = fs::metadata(&verifier)?.len();
    println!("verifier: {:.2} MB, static", size as f64 / 1e6);
    let node = {
        let node = Node::prepare(None)?;
        ensure!(node.apply()?.ok, "the agent did not install the verifier");
        node
    };
    let registry = Registry::with_referrers().await?;
    let cosign = Cosign::new(Version::V3)?;
    let key = cosign.generate_key("key").await?;
    node.enforce(
        &PolicyText::new("bench", &[&registry.host()])
            .authority("a", &key.pem)
            .yaml(),
    )?;

    let uncovered = Image::push(&Registry::distribution().await?, "not/covered", "v1").await?;
    let start = ours(&node, &uncovered);
    let samples = (0..ROUNDS)
        .map(|_| start.run())
        .collect::<Result<Vec<_>>>()?;
    println!(
        "start-up (a pull that no policy covers, chroot included): median {:.1} ms, min {:.1} ms",
        millis(median(&samples)),
        millis(fastest(&samples))
    );

    println!("\n| signature | program | cold | median of {ROUNDS} | min | max | peak memory |");
    println!("|---|---|---|---|---|---|---|");
    for (format, title) in [
        (Format::Bundle, "bundle, referrers API"),
        (Format::Attachment, ".sig attachment"),
    ] {
        let name = format!("bench-{format:?}").to_lowercase();
        let image = Image::push(&registry, &name, "v1").await?;
        cosign.sign(&key, format, &image.by_digest()).await?;
        let sides = [ours(&node, &image), theirs(&cosign, &key, &image)?];
        let mut cold = Vec::new();
        for side in &sides {
            drop_caches();
            cold.push(side.run()?);
        }
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (side, samples) in sides.iter().zip(&mut samples) {
                samples.push(side.run()?);
            }
        }
        for ((side, samples), cold) in sides.iter().zip(&samples).zip(&cold) {
            println!(
                "| {title} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} MB |",
                side.name,
                millis(cold.wall),
                millis(median(samples)),
                millis(fastest(samples)),
                millis(samples.iter().map(|s| s.wall).max().unwrap_or_default()),
                peak(samples) as f64 / 1e6,
            );
        }
        let [ours, theirs] = &samples;
        println!(
            "| {title} | **ratio** | {:.2} | **{:.2}** | {:.2} | | **{:.2}** |",
            cold[0].wall.as_secs_f64() / cold[1].wall.as_secs_f64(),
            median(ours).as_secs_f64() / median(theirs).as_secs_f64(),
            fastest(ours).as_secs_f64() / fastest(theirs).as_secs_f64(),
            peak(ours) as f64 / peak(theirs) as f64,
        );
    }
    Ok(())
}

/// The verifier as containerd calls it, in the node's root.
fn ours(node: &Node, image: &Image) -> Contender {
    let descriptor = serde_json::json!({
        "mediaType": image.media_type, "digest": image.digest, "size": image.size,
    });
    let verifier = format!("/{}/{}", paths::VERIFIER_DIR, paths::VERIFIER_NAME);
    let root = node.root().display().to_string();
    let command = [
        "/usr/sbin/chroot",
        &root,
        &verifier,
        "-name",
        &image.by_tag(),
        "-digest",
        &image.digest,
        "-stdin-media-type",
        "application/vnd.oci.descriptor.v1+json",
    ];
    Contender {
        name: "nodeseal-verifier",
        command: command.map(str::to_owned).into(),
        environment: Vec::new(),
        stdin: format!("{descriptor}\n"),
    }
}

fn theirs(cosign: &Cosign, key: &KeyPair, image: &Image) -> Result<Contender> {
    let command = cosign.verify_command(&key.public, Format::Bundle, &image.by_digest(), &[])?;
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    let environment = command
        .get_envs()
        .filter_map(|(name, value)| Some((text(name), text(value?))))
        .collect();
    Ok(Contender {
        name: "cosign verify 3.1.3",
        command: std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(text)
            .collect(),
        environment,
        stdin: String::new(),
    })
}

/// Lets the next run read its program from the disk; without the right to it cold is only first.
fn drop_caches() {
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(samples: &[Sample]) -> Duration {
    let mut times: Vec<_> = samples.iter().map(|sample| sample.wall).collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn fastest(samples: &[Sample]) -> Duration {
    samples
        .iter()
        .map(|sample| sample.wall)
        .min()
        .unwrap_or_default()
}

fn peak(samples: &[Sample]) -> u64 {
    samples
        .iter()
        .map(|sample| sample.peak_bytes)
        .max()
        .unwrap_or_default()
}
