//! Many pulls at once through a real containerd, with the verifier and without.
//!
//! The time of a pull is what containerd itself says in its log (`Pulled image … in …`): from the
//! call of its CRI to its answer. Without the verifier is the same running containerd, whose folder
//! of verifiers is out of its sight for the time being. Kinds take turns, and what is added is the
//! median of the differences within each turn.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::Image;
use policy::paths;

use crate::measure::{millis, quantile};
use crate::scene::Scene;

/// How many pulls run at once.
const PULLS: usize = 50;
/// How often each kind is done, in turn.
const ROUNDS: usize = 11;

/// What becomes of the verifier before a round.
#[derive(Debug, Clone, Copy)]
enum Verifier {
    Hidden,
    Cold,
    Cached,
}

/// What one round took: median and 95th percentile of its pulls by containerd's log, and the time
/// until all of them were done.
type Round = [Duration; 3];

/// Prints what the verifier adds.
pub(crate) async fn run(scene: &Scene) -> Result<()> {
    let [near, ..] = &scene.links;
    let images = scene.many(near, "pulls", PULLS).await?;
    let first = images.first().context("there is no image")?;
    let same = vec![first.clone(); PULLS];
    println!(
        "| {PULLS} pulls at once | verifier | median | p95 | all of them | added: median | p95 | all |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (title, images) in [("of one image", &same), ("of as many images", &images)] {
        let kinds = [Verifier::Hidden, Verifier::Cold, Verifier::Cached];
        let mut all: [Vec<Round>; 3] = Default::default();
        // The first round of all finds cold disks.
        round(scene, images, Verifier::Hidden).await?;
        for _ in 0..ROUNDS {
            for (kind, rounds) in kinds.into_iter().zip(&mut all) {
                rounds.push(round(scene, images, kind).await?);
            }
        }
        let [without, ..] = &all;
        for (kind, rounds) in kinds.iter().zip(&all) {
            let took = [0, 1, 2].map(|part| {
                let times = rounds.iter().map(|round| millis(round[part]));
                format!("{:.0} ms", middle(times))
            });
            let added = [0, 1, 2].map(|part| {
                let pairs = rounds.iter().zip(without);
                let more = pairs.map(|(with, without)| millis(with[part]) - millis(without[part]));
                format!("**{:+.0} ms**", middle(more))
            });
            let (name, added) = match kind {
                Verifier::Hidden => ("none", " | | ".to_owned()),
                Verifier::Cold => ("nothing kept", added.join(" | ")),
                Verifier::Cached => ("verdicts kept", added.join(" | ")),
            };
            println!("| {title} | {name} | {} | {added} |", took.join(" | "));
        }
    }
    Ok(())
}

/// The median over rounds: a slow disk makes one of them slow, not the other.
fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn round(scene: &Scene, images: &[Image], verifier: Verifier) -> Result<Round> {
    let node = &scene.node;
    let folder = node.root().join(paths::VERIFIER_DIR);
    let aside = folder.with_extension("aside");
    match verifier {
        Verifier::Hidden => fs::rename(&folder, &aside).context("hide the verifier")?,
        Verifier::Cold => scene.forget()?,
        Verifier::Cached => {}
    }
    let cri = node.cri().await?;
    for image in images {
        cri.remove(&image.by_tag()).await?;
    }
    let (before, said) = (node.log().len(), verdicts(scene));
    let started = Instant::now();
    let pulls: Vec<_> = images
        .iter()
        .map(|image| {
            let (cri, name) = (cri.clone(), image.by_tag());
            tokio::spawn(async move { cri.pull(&name).await })
        })
        .collect();
    for pull in pulls {
        pull.await??;
    }
    let all = started.elapsed();
    if matches!(verifier, Verifier::Hidden) {
        fs::rename(&aside, &folder).context("show the verifier")?;
    }
    let log = node.log();
    let new = log.get(before..).unwrap_or_default();
    let took: Vec<_> = new.lines().filter_map(taken).collect();
    ensure!(
        took.len() == images.len(),
        "containerd's log has {} of {} pulls",
        took.len(),
        images.len()
    );
    // That the right kind was measured.
    let asked = verdicts(scene) - said;
    let expected = if matches!(verifier, Verifier::Hidden) {
        0
    } else {
        images.len()
    };
    ensure!(
        asked == expected,
        "{verifier:?}: {asked} verdicts were given"
    );
    let pulls = |part| quantile(took.iter().copied(), part);
    Ok([pulls(0.5), pulls(0.95), all])
}

/// How many verdicts the verifier has written down.
fn verdicts(scene: &Scene) -> usize {
    let folder = scene.node.root().join(paths::STATE_DIR).join("verdicts");
    let lines = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.lines().count()
    };
    lines("current.jsonl") + lines("previous.jsonl")
}

/// The time of a pull, from a line of containerd's log.
fn taken(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("msg=\"Pulled image ")?;
    let (_, time) = rest.rsplit_once(" in ")?;
    let time = time.split('"').next()?;
    // As Go writes durations.
    let (number, unit) = time.split_at(time.find(|c: char| c.is_alphabetic() || c == 'µ')?);
    let scale = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "µs" => 1e-6,
        // Minutes and hours: something is wrong.
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * scale))
}
