//! Developer commands: `cargo xtask --help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::peers::Peer;
use xtask::{bench, demo, generate, peers, product, test};

/// Developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the product's programs, optimised and static, as nodes and desks use them.
    Build {
        /// The folder to put them into.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Build the real servers that the tests talk to.
    Peers {
        /// Build only these.
        #[arg(long, value_delimiter = ',', value_name = "NAME")]
        only: Vec<String>,
        /// Build also those that only `cargo xtask test --full` needs.
        #[arg(long, conflicts_with = "only")]
        all: bool,
    },
    /// Show the product at work on this machine.
    Demo(demo::Options),
    /// Run everything that must pass before a change is taken.
    Test(test::Options),
    /// Measure, beside a peer where there is one to compare with.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: bench::What,
        /// Passed on to it; `cluster` takes numbers of nodes.
        #[arg(last = true, value_name = "ARGS")]
        args: Vec<String>,
    },
    /// Write the generated files.
    Generate {
        /// Only tell which files differ, and fail if any does.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Task::Peers { all: true, .. } => build(&peers::all()),
        Task::Peers { all: false, only } => peers::select(&only).and_then(|peers| build(&peers)),
        Task::Build { out } => product::build(&out),
        Task::Demo(options) => demo::run(options),
        Task::Bench { what, args } => bench::run(what, &args),
        Task::Test(options) => test::run(&options),
        Task::Generate { check: true } => generate::check(),
        Task::Generate { check: false } => generate::write(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(peers: &[&Peer]) -> Result<()> {
    for (name, path) in peers::ensure(peers)? {
        println!("{name}: {}", path.display());
    }
    Ok(())
}
