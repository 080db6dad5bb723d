//! Developer commands: `cargo xtask --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, demo, generate, peers, test};

/// Developer commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the real servers that the tests talk to.
    Peers {
        /// Build only these.
        #[arg(long, value_delimiter = ',', value_name = "NAME")]
        only: Vec<String>,
    },
    /// Show the product at work on this machine.
    Demo {
        /// Leave everything running, to play with, until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
    /// Run everything that must pass before a change is taken.
    Test(test::Options),
    /// Measure, in one run with a peer to compare with.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: bench::What,
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
        Task::Peers { only } => peers::select(&only).and_then(|peers| {
            for (name, path) in peers::ensure(&peers)? {
                println!("{name}: {}", path.display());
            }
            Ok(())
        }),
        Task::Demo { keep } => demo::run(keep),
        Task::Bench { what } => bench::run(what),
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
