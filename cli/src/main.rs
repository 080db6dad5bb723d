//! `nodeseal`: policies checked, rendered, explained and tried on the desk, with no cluster.

mod arguments;
mod explain;
mod input;
mod output;
mod render;
mod runtime;
mod validate;
mod verify;
mod verify_bundle;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Image-signature policies that every node enforces.
#[derive(Parser)]
#[command(
    name = "nodeseal",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 yes, 1 no (invalid, denied), 2 wrong usage, 3 could not tell."
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match &cli.command {
        Command::Validate(args) => validate::run(args, cli.output),
        Command::Render(args) => render::run(args, cli.output),
        Command::Explain(args) => explain::run(args, cli.output),
        Command::Verify(args) => verify::run(args, cli.output),
        Command::VerifyBundle(args) => verify_bundle::run(args, cli.output),
    };
    answer.into()
}
