//! The product at work on one machine. The shows themselves are examples of the package `e2e`, which
//! has the peers' lab; here stands only what they need to be there before they start.

use anyhow::Result;
use clap::Args;

use crate::product::Product;
use crate::{command, peers, product};

/// Which show.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Options {
    /// Without a cluster: a folder of policies, the agent, containerd. Builds less.
    #[arg(long)]
    pub standalone: bool,
    /// Leave everything running, to play with, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
}

/// Builds what the demo needs, then runs it.
pub fn run(options: Options) -> Result<()> {
    let (example, peers, products): (_, &[&str], &[_]) = if options.standalone {
        (
            "demo",
            &["containerd", "crane", "cosign2", "cosign3"],
            &[Product::Verifier, Product::Agent],
        )
    } else {
        (
            "demo_cluster",
            &[
                "containerd",
                "crane",
                "cosign2",
                "cosign3",
                "judge",
                "etcd",
                "kubernetes",
            ],
            &[Product::Verifier, Product::Agent, Product::Operator],
        )
    };
    let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
    peers::ensure(&peers::select(&peers)?)?;
    let variables = product::ensure(products)?;
    let mut cargo = product::cargo();
    cargo
        .args(["run", "--quiet", "--package", "e2e", "--example", example])
        .envs(variables);
    if options.keep {
        cargo.args(["--", "--keep"]);
    }
    command::run(&mut cargo)
}
