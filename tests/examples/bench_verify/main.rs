//! The verifier against `cosign verify` (same image, registry and run, round by round in turn), in
//! pulls of a real containerd, and beside a helper that would keep its connections. Run it with
//! `cargo xtask bench verify`; it prints Markdown.
//!
//! ```text
//! measure ── one run of a program ──┬─ compare   with cosign, near and far
//! relay ──── link ──── scene ───────┼─ helper    what keeping connections would save
//!                                   └─ pulls     many at once
//! ```

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod compare;
mod helper;
mod link;
mod measure;
mod pulls;
mod relay;
mod scene;

use std::env;
use std::fs;

use anyhow::Result;
use xtask::product::Product;

use crate::measure::{fastest, median, millis};
use crate::scene::Scene;

/// How often the start-up is measured.
const STARTS: usize = 40;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((mode, command)) if mode == "--measure" => return measure::measure(command),
        Some((mode, questions)) if mode == "--helper" => return helper::serve(questions),
        _ => {}
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(bench(&arguments))
}

/// Everything, or the parts that are named.
async fn bench(parts: &[String]) -> Result<()> {
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| name == part);
    let size = fs::metadata(Product::Verifier.locate()?)?.len();
    println!("verifier: {:.2} MB, static", size as f64 / 1e6);
    let scene = Scene::start().await?;
    load("at the start");
    if wanted("start-up") {
        start_up(&scene).await?;
    }
    if wanted("compare") {
        println!("\n## Against cosign\n");
        compare::run(&scene).await?;
    }
    if wanted("helper") {
        println!("\n## A resident helper\n");
        helper::run(&scene).await?;
    }
    if wanted("pulls") {
        println!("\n## Parallel pulls\n");
        pulls::run(&scene).await?;
    }
    println!();
    load("at the end");
    Ok(())
}

/// What the verifier costs where it has nothing to verify.
async fn start_up(scene: &Scene) -> Result<()> {
    let [near, ..] = &scene.links;
    let image = near.push("not/covered", "v1").await?;
    let start = scene.ours(&image);
    let samples = (0..STARTS)
        .map(|_| start.run())
        .collect::<Result<Vec<_>>>()?;
    println!(
        "start-up (a pull that no policy covers, chroot included): median {:.1} ms, min {:.1} ms",
        millis(median(&samples)),
        millis(fastest(&samples))
    );
    Ok(())
}

/// How busy the machine is with this and everything else.
fn load(when: &str) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split_whitespace().take(3).collect();
    println!("load {when} (1, 5, 15 minutes): {}", load.join(", "));
}
