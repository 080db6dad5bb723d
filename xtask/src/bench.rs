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
    /// A cluster with up to 5,000 nodes, and what it costs. Takes about an hour.
    Cluster,
}

/// Builds what is measured, and measures.
pub fn run(what: What, args: &[String]) -> Result<()> {
    match what {
        What::Verify => verify(),
        What::Compile => compile(),
        What::Cluster => cluster(args),
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

/// The operator optimised, as it is shipped, but for a clock that can be set; and so the agents.
fn cluster(args: &[String]) -> Result<()> {
    peers::ensure(&peers::select(&["etcd", "kubernetes"].map(str::to_owned))?)?;
    let operator = product::optimised(Product::OperatorFault)?;
    let mut cargo = product::cargo();
    cargo.args(["run", "--quiet", "--release"]);
    cargo.args(["--package", "e2e", "--example", "bench_cluster", "--"]);
    cargo.args(args).env(operator.0, operator.1);
    command::run(&mut cargo)
}
