//! The product's own programs, built the way the tests need them.
//!
//! Cargo decides what to rebuild. Each program is copied to a folder of its own: a test that is
//! running the previous build keeps it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

use anyhow::{Context as _, Result};

use crate::cache::{self, Key};
use crate::command;

/// A program of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// The verifier as it is installed on nodes: static, optimised.
    Verifier,
    /// The node agent.
    Agent,
    /// The node agent that can be told to die at named points.
    AgentFault,
    /// The cluster operator.
    Operator,
    /// The cluster operator whose clock can be set wrong.
    OperatorFault,
    /// The command line.
    Cli,
}

/// How a program is built.
struct Recipe {
    package: &'static str,
    binary: &'static str,
    features: &'static [&'static str],
    /// Linked statically and optimised, as it goes to nodes; otherwise quickly built.
    shipped: bool,
    /// Optimised without being linked statically.
    optimised: bool,
}

impl Product {
    /// What is shipped.
    pub const SHIPPED: [Self; 4] = [Self::Verifier, Self::Agent, Self::Operator, Self::Cli];

    /// The environment variable that tells a test where the program is.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Verifier => "NODESEAL_VERIFIER_BIN",
            Self::Agent => "NODESEAL_AGENT_BIN",
            Self::AgentFault => "NODESEAL_AGENT_FAULT_BIN",
            Self::Operator => "NODESEAL_OPERATOR_BIN",
            Self::OperatorFault => "NODESEAL_OPERATOR_FAULT_BIN",
            Self::Cli => "NODESEAL_CLI_BIN",
        }
    }

    /// Where the program is, for a test: what [`Product::variable`] says.
    pub fn locate(self) -> Result<PathBuf> {
        env::var_os(self.variable())
            .map(PathBuf::from)
            .with_context(|| {
                let variable = self.variable();
                format!("{variable} is not set: run the tests with `cargo xtask test --only e2e`")
            })
    }

    const fn recipe(self) -> Recipe {
        match self {
            Self::Verifier => Recipe {
                package: "image-verifier",
                binary: "nodeseal-verifier",
                features: &[],
                shipped: true,
                optimised: false,
            },
            Self::Agent => Recipe {
                package: "node-agent",
                binary: "nodeseal-agent",
                features: &[],
                shipped: false,
                optimised: false,
            },
            Self::AgentFault => Recipe {
                features: &["fault-points"],
                ..Self::Agent.recipe()
            },
            Self::Operator => Recipe {
                package: "operator",
                binary: "nodeseal-operator",
                features: &[],
                shipped: false,
                optimised: false,
            },
            Self::OperatorFault => Recipe {
                features: &["fault-points"],
                ..Self::Operator.recipe()
            },
            Self::Cli => Recipe {
                package: "cli",
                binary: "nodeseal",
                features: &[],
                shipped: false,
                optimised: false,
            },
        }
    }

    /// The name of the folder that keeps it.
    const fn variant(self) -> &'static str {
        match self {
            Self::Verifier => "verifier",
            Self::Agent => "agent",
            Self::AgentFault => "agent-fault",
            Self::Operator => "operator",
            Self::OperatorFault => "operator-fault",
            Self::Cli => "cli",
        }
    }
}

/// Builds these programs; returns the variables that tell the tests where they are.
pub fn ensure(products: &[Product]) -> Result<Vec<(&'static str, PathBuf)>> {
    let target = cache::target_dir();
    // Two checkouts may share the target folder, but not what comes out of it.
    let checkout = Key::new().and(cache::workspace().as_os_str().as_encoded_bytes());
    let shelf = cache::dir()?.join("product").join(checkout.to_string());
    let _lock = cache::lock(&shelf, "product")?;
    let mut variables = Vec::new();
    for &product in products {
        let recipe = product.recipe();
        let built = recipe.build(&target)?;
        let kept = shelf.join(product.variant()).join(recipe.binary);
        keep(&built, &kept)?;
        variables.push((product.variable(), kept));
    }
    Ok(variables)
}

impl Recipe {
    fn build(&self, target: &Path) -> Result<PathBuf> {
        let mut cargo = cargo();
        cargo.args(["build", "--package", self.package, "--bin", self.binary]);
        cargo.arg("--target-dir").arg(target);
        if !self.features.is_empty() {
            cargo.arg("--features").arg(self.features.join(","));
        }
        let folder = if self.shipped {
            let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
            // Naming the target keeps the flags away from build scripts and procedural macros,
            // which are loaded by the compiler and cannot be static.
            cargo.args(["--release", "--target", &triple]);
            cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
            cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
            target.join(triple).join("release")
        } else if self.optimised {
            cargo.arg("--release");
            target.join("release")
        } else {
            target.join("debug")
        };
        command::run(&mut cargo)?;
        Ok(folder.join(self.binary))
    }
}

/// Builds all of them for use on nodes and desks, and puts them into `out`.
pub fn build(out: &Path) -> Result<()> {
    let target = cache::target_dir();
    for product in Product::SHIPPED {
        let recipe = Recipe {
            shipped: true,
            ..product.recipe()
        };
        let path = out.join(recipe.binary);
        keep(&recipe.build(&target)?, &path)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Builds a program optimised, for a measurement; returns its variable and where it is.
pub fn optimised(product: Product) -> Result<(&'static str, PathBuf)> {
    let recipe = Recipe {
        optimised: true,
        ..product.recipe()
    };
    Ok((product.variable(), recipe.build(&cache::target_dir())?))
}

/// Copies a program unless it is there already, and renames it into place.
fn keep(built: &Path, kept: &Path) -> Result<()> {
    let new = fs::read(built).with_context(|| format!("read {}", built.display()))?;
    if fs::read(kept).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let folder = kept.parent().context("a kept program lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let temporary = kept.with_extension(format!("{}.tmp", process::id()));
    fs::copy(built, &temporary).with_context(|| format!("write {}", temporary.display()))?;
    fs::rename(&temporary, kept).with_context(|| format!("rename to {}", kept.display()))
}

/// The cargo that runs this program, or the one on the PATH, in the workspace.
#[must_use]
pub fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(program);
    cargo.current_dir(cache::workspace());
    cargo
}
