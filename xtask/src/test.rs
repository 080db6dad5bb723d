//! Everything that must pass before a change is taken, in one command.

use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};

use crate::product::{Product, cargo};
use crate::{cache, command, demo, generate, peers, product, tools};

/// What to run.
#[derive(Debug, Args)]
pub struct Options {
    /// Also run what takes long.
    #[arg(long)]
    full: bool,
    /// Run only these steps.
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    only: Vec<Step>,
    /// Passed on to `cargo test` of the steps `unit` and `e2e`.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

impl Options {
    /// What tells tests to run all of what is long, and not a sample of it.
    fn sample(&self) -> Option<(&'static str, &'static str)> {
        self.full.then_some(("NODESEAL_FULL", "1"))
    }
}

/// One step, in the order in which they run: what fails fast comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Formatting.
    Fmt,
    /// Generated files are up to date.
    Generate,
    /// Lints.
    Clippy,
    /// Unit tests of all crates.
    Unit,
    /// Documentation without warnings.
    Doc,
    /// Dependencies: bans, licences, sources.
    Deny,
    /// End-to-end tests against real peers.
    E2e,
}

impl Step {
    const fn title(self) -> &'static str {
        match self {
            Self::Fmt => "formatting",
            Self::Generate => "generated files",
            Self::Clippy => "lints",
            Self::Unit => "unit tests",
            Self::Doc => "documentation",
            Self::Deny => "dependencies",
            Self::E2e => "end-to-end tests",
        }
    }
}

/// Runs the steps, one after the other, until one fails.
pub fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let steps: Vec<Step> = Step::value_variants()
        .iter()
        .copied()
        .filter(|step| options.only.is_empty() || options.only.contains(step))
        .collect();

    // What is built by others than the workspace's cargo is built beside it, from the start.
    let mut background = Background::default();
    if steps.contains(&Step::E2e) {
        let full = options.full;
        background.peers = Some(thread::spawn(move || {
            let peers = if full {
                peers::all()
            } else {
                peers::select(&[])?
            };
            peers::ensure(&peers)?;
            Ok(())
        }));
    }
    if steps.contains(&Step::Deny) {
        background.deny = Some(thread::spawn(tools::cargo_deny));
    }

    let total = steps.len();
    for (index, step) in steps.into_iter().enumerate() {
        let title = step.title();
        println!(
            "\n== {}/{total} {title} (after {})",
            index + 1,
            command::elapsed(started)
        );
        let begun = Instant::now();
        run_step(step, options, &mut background)
            .with_context(|| format!("{title} failed after {}", command::elapsed(begun)))?;
        println!("== {title}: passed in {}", command::elapsed(begun));
    }
    println!("\nall passed in {}", command::elapsed(started));
    Ok(())
}

fn run_step(step: Step, options: &Options, background: &mut Background) -> Result<()> {
    match step {
        Step::Fmt => command::run(cargo().args(["fmt", "--all", "--check"])),
        Step::Generate => generate::check(),
        Step::Clippy => command::run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "--deny",
            "warnings",
        ])),
        Step::Unit => unit(options),
        Step::Doc => command::run(
            cargo()
                .args(["doc", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "--deny warnings"),
        ),
        Step::Deny => deny(background.take_deny()?),
        Step::E2e => e2e(options, background),
    }
}

/// Advisories are left to a scheduled job: they come from a Git host, and a change must not fail
/// because of what somebody else published meanwhile.
fn deny(program: PathBuf) -> Result<()> {
    let mut deny = Command::new(program);
    deny.current_dir(cache::workspace());
    deny.args(["--workspace", "check", "bans", "licenses", "sources"]);
    command::run(&mut deny)
}

fn e2e(options: &Options, background: &mut Background) -> Result<()> {
    let variables = product::ensure(&[
        Product::Verifier,
        Product::Agent,
        Product::AgentFault,
        Product::Operator,
        Product::OperatorFault,
        Product::Cli,
    ])?;
    background.take_peers()?;
    let mut tests = cargo();
    tests.args(["test", "--package", "e2e"]);
    tests
        .args(&options.args)
        .envs(variables)
        .envs(options.sample());
    command::run(&mut tests)?;
    // What the README offers has to work, too.
    if options.args.is_empty() {
        for standalone in [true, false] {
            let keep = false;
            demo::run(demo::Options { standalone, keep })?;
        }
    }
    Ok(())
}

fn unit(options: &Options) -> Result<()> {
    let mut tests = cargo();
    // Some tests need what only a feature for tests has.
    tests.args(["test", "--workspace", "--exclude", "e2e", "--all-features"]);
    command::run(tests.args(&options.args).envs(options.sample()))?;
    // And some are about the verifier as it is shipped, without it.
    let mut shipped = cargo();
    shipped.args(["test", "--package", "image-verifier"]);
    command::run(shipped.args(&options.args))
}

/// What is under way beside the steps; whoever needs it first waits for it.
#[derive(Default)]
struct Background {
    peers: Option<JoinHandle<Result<()>>>,
    deny: Option<JoinHandle<Result<PathBuf>>>,
}

impl Background {
    fn take_peers(&mut self) -> Result<()> {
        join(self.peers.take(), "peers")
    }

    fn take_deny(&mut self) -> Result<PathBuf> {
        join(self.deny.take(), "cargo-deny")
    }
}

fn join<T>(thread: Option<JoinHandle<Result<T>>>, what: &str) -> Result<T> {
    thread
        .with_context(|| format!("nobody builds {what}"))?
        .join()
        .map_err(|_| anyhow!("the thread that builds {what} panicked"))?
}
