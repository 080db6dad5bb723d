//! What a resident helper would save: one process that keeps its connections, beside one a pull.
//!
//! Such a helper does not exist. Here stands its main loop, of the verifier's own parts.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::Image;
use image_verifier::environment::Environment;
use image_verifier::evaluate::Judge;
use image_verifier::registry::Registries;
use image_verifier::search::Search;
use image_verifier::{limits, policy_file};
use policy::digest::Digest;
use policy::reference::Reference;
use serde::{Deserialize, Serialize};

use crate::measure::{median, millis, quantile};
use crate::scene::Scene;

/// How many images, of one repository.
const IMAGES: usize = 20;
/// How often both go through them, in turn.
const ROUNDS: usize = 5;

/// What the helper is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    name: String,
    digest: String,
}

/// Prints what it would save on each link.
pub(crate) async fn run(scene: &Scene) -> Result<()> {
    println!(
        "| link | a process each | one process, connections kept | its first | saved per verification |"
    );
    println!("|---|---|---|---|---|");
    for link in &scene.links {
        let images = scene.many(link, "helper", IMAGES).await?;
        let helper = resident(scene, &images)?;
        let (mut each, mut kept, mut firsts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            scene.forget()?;
            for image in &images {
                each.push(scene.ours(image).run()?);
            }
            let times = helper.times()?;
            firsts.extend(times.first());
            kept.extend(times.into_iter().skip(1));
        }
        let (each, kept) = (median(&each), quantile(kept, 0.5));
        println!(
            "| {} | {:.1} ms | {:.1} ms | {:.1} ms | **{:.1} ms** |",
            link.title,
            millis(each),
            millis(kept),
            millis(quantile(firsts, 0.5)),
            millis(each) - millis(kept),
        );
    }
    Ok(())
}

/// This program as a helper in the node's root.
struct Resident(std::path::PathBuf, String);

fn resident(scene: &Scene, images: &[Image]) -> Result<Resident> {
    let questions: Vec<_> = images
        .iter()
        .map(|image| Question {
            name: image.by_tag(),
            digest: image.digest.clone(),
        })
        .collect();
    Ok(Resident(
        scene.node.root(),
        serde_json::to_string(&questions)?,
    ))
}

impl Resident {
    fn times(&self) -> Result<Vec<Duration>> {
        let output = std::process::Command::new(std::env::current_exe()?)
            .arg("--helper")
            .arg(&self.0)
            .arg(&self.1)
            .env_clear()
            .stderr(std::process::Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "the helper failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Answers all questions, one after the other, and prints how long each took.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let [root, questions] = arguments else {
        bail!("a helper is told its root and what it is asked")
    };
    let questions: Vec<Question> = serde_json::from_str(questions)?;
    // Then all paths are those of the node.
    std::os::unix::fs::chroot(root).context("enter the node's root")?;
    std::env::set_current_dir("/")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let times = runtime.block_on(answer(&questions))?;
    std::io::stdout().write_all(&serde_json::to_vec(&times)?)?;
    Ok(())
}

async fn answer(questions: &[Question]) -> Result<Vec<Duration>> {
    let environment = Environment::default();
    let parse = |question: &Question| -> Result<(Reference, Digest)> {
        Ok((
            Reference::parse(&question.name)?,
            Digest::parse(&question.digest)?,
        ))
    };
    let first = questions.first().context("there is no question")?;
    let policy = policy_file::read(&environment.root())?.covering(&parse(first)?.0)?;
    let limits = &policy.limits;
    let mut times = Vec::new();
    // One repository: its clients, and the tokens that they have fetched, serve all of it.
    let begun = Instant::now();
    let registries = Registries::new(&parse(first)?.0, &policy.access, &environment, limits)?;
    let mut started = begun;
    for question in questions {
        let (image, digest) = parse(question)?;
        let decision = policy.flat.decide(&image);
        let mut judge = Judge::new(&decision, &image, &digest, SystemTime::now().try_into()?);
        let mut search = Search::new(&registries, &digest, limits);
        let deadline = tokio::time::Instant::now() + limits::deadline(limits);
        while !judge.is_settled() {
            match tokio::time::timeout_at(deadline, search.next()).await? {
                Some(found) => judge.add(found),
                None => break,
            }
        }
        let verdict = judge.verdict();
        ensure!(verdict.refusal.is_none(), "{image}: {:?}", verdict.refusal);
        ensure!(!verdict.enforced.is_empty(), "{image} needs no signature");
        times.push(started.elapsed());
        started = Instant::now();
    }
    Ok(times)
}
