//! Benchmarks: in turn with a peer where there is one, always in one run.

use anyhow::Result;
use clap::ValueEnum;

use crate::product::Product;
use crate::{command, peers, product};

/// What to measure.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum What {
    /// The verifier against `cosign verify`.
    Verify,
    /// Policies into the files of nodes, by their number.
    Compile,
}

/// Builds what is measured, and measures.
pub fn run(what: What) -> Result<()> {
    match what {
        What::Verify => verify(),
        What::Compile => compile(),
    }
}

fn verify() -> Result<()> {
    let names = ["registry", "crane", "cosign3"].map(str::to_owned);
    peers::ensure(&peers::select(&names)?)?;
    let variables = product::ensure(&[Product::Verifier, Product::Agent])?;
    let mut cargo = product::cargo();
    cargo
        .args([
            "run",
            "--quiet",
            "--package",
            "e2e",
            "--example",
            "bench_verify",
        ])
        .envs(variables);
    command::run(&mut cargo)
}

/// Optimised, as the product is.
fn compile() -> Result<()> {
    let mut cargo = product::cargo();
    cargo.args(["run", "--quiet", "--release"]);
    command::run(cargo.args(["--package", "xtask", "--example", "bench_compile"]))
}
