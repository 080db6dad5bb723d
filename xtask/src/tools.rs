//! Tools of the checks that cargo does not bring along.

use std::path::PathBuf;

use anyhow::Result;

use crate::{cache, command, product};

/// The version of cargo-deny that the checks run with.
const CARGO_DENY: &str = "0.20.2";

/// Installs cargo-deny into the cache unless it is there; returns its path.
pub fn cargo_deny() -> Result<PathBuf> {
    let tools = cache::dir()?.join("tools");
    let home = tools.join(format!("cargo-deny-{CARGO_DENY}"));
    let program = home.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    let _lock = cache::lock(&tools, "tools")?;
    if !program.is_file() {
        let mut cargo = product::cargo();
        cargo.args([
            "install",
            "cargo-deny",
            "--locked",
            "--version",
            CARGO_DENY,
            "--root",
        ]);
        cargo.arg(&home);
        // A target folder of its own: it must not wait for the builds that it runs beside.
        cargo.arg("--target-dir").arg(tools.join("target"));
        cargo.env_remove("CARGO_TARGET_DIR");
        let log = tools.join("cargo-deny.log");
        command::run_logged("tools: building cargo-deny", &mut cargo, &log)?;
    }
    Ok(program)
}
