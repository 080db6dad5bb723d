//! The verifier and `cosign verify` on the same image, in turn.

use anyhow::{Result, ensure};
use e2e::Image;

use crate::link::Link;
use crate::measure::{Contender, Sample, drop_caches, fastest, median, millis, peak, slowest};
use crate::relay::Counts;
use crate::scene::{SHAPES, Scene, Shape};

/// How many rounds each side runs: over loopback, and from afar, where a round takes long.
const ROUNDS: [usize; 2] = [40, 20];

/// All runs of one side.
#[derive(Default)]
struct Runs {
    /// The one after the page cache was dropped.
    first: Option<Sample>,
    samples: Vec<Sample>,
    counts: Option<Counts>,
}

/// Prints the table of every link and shape.
pub(crate) async fn run(scene: &Scene) -> Result<()> {
    println!(
        "| link | signature | program | first | median | min | max | peak memory | connections | exchanges | in sequence |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for link in &scene.links {
        for shape in SHAPES {
            let image = scene.signed(link, shape).await?;
            compare(scene, link, shape, &image)?;
        }
    }
    Ok(())
}

fn compare(scene: &Scene, link: &Link, shape: Shape, image: &Image) -> Result<()> {
    let (ours, theirs) = (scene.ours(image), scene.theirs(link, shape, image)?);
    let [mut cold, mut cached, mut other] = [(); 3].map(|()| Runs::default());
    scene.forget()?;
    for (side, program) in [(&mut cold, &ours), (&mut other, &theirs)] {
        drop_caches();
        side.first = Some(program.run()?);
    }
    let rounds = if link.relay.is_some() {
        ROUNDS[1]
    } else {
        ROUNDS[0]
    };
    for _ in 0..rounds {
        scene.forget()?;
        cold.run(link, &ours)?;
        ensure!(!scene.was_cached()?, "nothing was kept, and yet it was");
        cached.run(link, &ours)?;
        ensure!(scene.was_cached()?, "the verdict was not kept");
        other.run(link, &theirs)?;
    }
    let what = format!("{} | {}", link.title, shape.title);
    cold.print(&what, "nodeseal-verifier");
    cached.print(&what, "the same, verdict kept");
    other.print(&what, "cosign verify 3.1.3");
    println!(
        "| {what} | **ratio** | {:.2} | **{:.2}** | {:.2} | | **{:.2}** | | | |",
        cold.first() / other.first(),
        median(&cold.samples).as_secs_f64() / median(&other.samples).as_secs_f64(),
        fastest(&cold.samples).as_secs_f64() / fastest(&other.samples).as_secs_f64(),
        peak(&cold.samples) as f64 / peak(&other.samples) as f64,
    );
    Ok(())
}

impl Runs {
    fn run(&mut self, link: &Link, program: &Contender) -> Result<()> {
        if let Some(relay) = &link.relay {
            relay.counts();
        }
        self.samples.push(program.run()?);
        if let Some(relay) = &link.relay {
            let (counts, most) = (relay.counts(), self.counts.unwrap_or_default());
            // The worst of all runs: which answer comes first is chance.
            self.counts = Some(Counts {
                connections: most.connections.max(counts.connections),
                exchanges: most.exchanges.max(counts.exchanges),
                in_sequence: most.in_sequence.max(counts.in_sequence),
            });
        }
        Ok(())
    }

    fn first(&self) -> f64 {
        self.first.map_or(f64::NAN, |first| millis(first.wall))
    }

    fn print(&self, what: &str, program: &str) {
        let samples = &self.samples;
        let counts = self.counts.map_or(" | | ".to_owned(), |counts| {
            let Counts {
                connections,
                exchanges,
                in_sequence,
            } = counts;
            format!("{connections} | {exchanges} | {in_sequence}")
        });
        let first = self.first.map_or(String::new(), |first| {
            format!("{:.1} ms", millis(first.wall))
        });
        println!(
            "| {what} | {program} | {first} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} MB | {counts} |",
            millis(median(samples)),
            millis(fastest(samples)),
            millis(slowest(samples)),
            peak(samples) as f64 / 1e6,
        );
    }
}
