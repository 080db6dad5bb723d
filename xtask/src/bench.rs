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

/// Optimised as well: a part of the verifier runs in the benchmark itself.
fn verify() -> Result<()> {
    let names = [
        "containerd",
        "registry",
        "crane",
        "cosign2",
        "cosign3",
        "sigstore",
    ];
    peers::ensure(&peers::select(&names.map(str::to_owned))?)?;
    let variables = product::ensure(&[Product::Verifier, Product::Agent])?;
    let mut cargo = product::cargo();
    cargo.args(["run", "--quiet", "--release"]);
    cargo.args(["--package", "e2e", "--example", "bench_verify"]);
    command::run(cargo.envs(variables))
}

/// Optimised, as the product is.
fn compile() -> Result<()> {
    let mut cargo = product::cargo();
    cargo.args(["run", "--quiet", "--release"]);
    command::run(cargo.args(["--package", "xtask", "--example", "bench_compile"]))
}
