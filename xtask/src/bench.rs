//! Benchmarks. Each runs a peer in turn with ours, in the same run, and prints ratios.

use anyhow::Result;
use clap::ValueEnum;

use crate::product::Product;
use crate::{command, peers, product};

/// What to measure.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum What {
    /// The verifier against `cosign verify`.
    Verify,
}

/// Builds what is measured, and measures.
pub fn run(what: What) -> Result<()> {
    let example = match what {
        What::Verify => "bench_verify",
    };
    let names = ["registry", "crane", "cosign3"].map(str::to_owned);
    peers::ensure(&peers::select(&names)?)?;
    let variables = product::ensure(&[Product::Verifier, Product::Agent])?;
    let mut cargo = product::cargo();
    cargo
        .args(["run", "--quiet", "--package", "e2e", "--example", example])
        .envs(variables);
    command::run(&mut cargo)
}
