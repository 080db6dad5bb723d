//! `nodeseal`: policies checked and rendered on the desk, with no cluster.

mod output;
mod render;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Image-signature policies that every node enforces.
#[derive(Parser)]
#[command(name = "nodeseal", version, about, arg_required_else_help = true)]
struct Cli {
    /// How to print results.
    #[arg(long, global = true, value_enum, default_value_t = output::Format::Text)]
    output: output::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check policies by the rules of the API server and of the operator.
    Validate(validate::Args),
    /// Write the files that a node would hold.
    Render(render::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match &cli.command {
        Command::Validate(args) => validate::run(args, cli.output),
        Command::Render(args) => render::run(args, cli.output),
    };
    answer.into()
}
