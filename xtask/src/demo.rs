//! The product at work on one machine. The show itself is the example `demo` of the package `e2e`,
//! which has the peers' lab; here stands only what it needs to be there before it starts.

use anyhow::Result;

use crate::product::Product;
use crate::{command, peers, product};

/// Builds peers and product, then runs the demo; with `keep` it goes on until Ctrl-C.
pub fn run(keep: bool) -> Result<()> {
    peers::ensure(&peers::select(&[])?)?;
    let variables = product::ensure(&Product::ALL)?;
    let mut cargo = product::cargo();
    cargo
        .args(["run", "--quiet", "--package", "e2e", "--example", "demo"])
        .envs(variables);
    if keep {
        cargo.args(["--", "--keep"]);
    }
    command::run(&mut cargo)
}
