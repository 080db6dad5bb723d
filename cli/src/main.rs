//! `nodeseal`: policies checked, rendered, explained and tried on the desk, and how far a cluster
//! enforces its own.

mod arguments;
mod cluster;
mod explain;
mod input;
mod output;
mod render;
mod runtime;
mod status;
mod validate;
mod verify;
mod verify_bundle;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Image-signature policies that every node enforces.
#[derive(Parser)]
#[command(
    name = "nodeseal",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 yes, 1 no (invalid, denied, not ready), 2 wrong usage, 3 could not tell."
)]
struct Cli {
    /// How to print results.
    #[arg(long, global = true, value_enum, default_value_t = output::Format::Text)]
    output: output::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Validate(validate::Args),
    Render(render::Args),
    Explain(explain::Args),
    Verify(verify::Args),
    VerifyBundle(verify_bundle::Args),
    Status(Box<status::Args>),
}

fn main() -> ExitCode {
    let cli = parse();
    let answer = match &cli.command {
        Command::Validate(args) => validate::run(args, cli.output),
        Command::Render(args) => render::run(args, cli.output),
        Command::Explain(args) => explain::run(args, cli.output),
        Command::Verify(args) => verify::run(args, cli.output),
        Command::VerifyBundle(args) => verify_bundle::run(args, cli.output),
        Command::Status(args) => status::run(args, cli.output),
    };
    answer.into()
}

/// The arguments; help and usage call the program as the user did.
fn parse() -> Cli {
    let own = std::env::args_os().next();
    let command = Cli::command().bin_name(called(own.as_deref()));
    let matches = command.get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// What a user types: kubectl starts `kubectl-nodeseal` for `kubectl nodeseal`.
fn called(program: Option<&OsStr>) -> &'static str {
    let stem = program.and_then(|program| Path::new(program).file_stem());
    if stem == Some(OsStr::new("kubectl-nodeseal")) {
        "kubectl nodeseal"
    } else {
        "nodeseal"
    }
}
