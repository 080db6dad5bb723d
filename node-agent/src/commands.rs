//! What is done on a node by hand: leaving it, and looking at what is kept there.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use node_agent::agent::{Agent, Options, Source, Uninstalled};
use node_agent::layout;
use node_agent::leave;
use node_agent::root::Root;
use node_agent::runtime::Told;
use node_agent::state::State;

use crate::args::Command;

/// Runs a command.
pub(crate) fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Uninstall { root } => uninstall(&root),
        Command::Files { root } => files(&root),
    };
    done.unwrap_or_else(|error| {
        eprintln!("nodeseal-agent: {error:#}");
        ExitCode::from(1)
    })
}

/// Nothing of the cluster's, the policies or the runtime is needed: the agent's own records say what
/// to give back.
fn uninstall(root: &Path) -> anyhow::Result<ExitCode> {
    let node = Root::open(root)?;
    if !node.exists(policy::paths::STATE_DIR)? {
        println!("nothing of nodeseal's is on {}", root.display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut agent = Agent::start(Options {
        source: Source::Cluster,
        root: root.to_owned(),
        told: Told::default(),
        sandbox_images: Vec::new(),
    })
    .context("cannot take the node")?;
    let Uninstalled {
        notes,
        is_whole,
        left,
    } = agent.uninstall()?;
    for note in notes {
        println!("{note}");
    }
    // With the lock held: the last thing that goes.
    let cleared = leave::clear(&node)?;
    for message in cleared.messages(&node) {
        println!("{message}");
    }
    if !left.is_empty() || !cleared.is_clean() {
        return Ok(ExitCode::from(1));
    }
    let every = if is_whole { "every" } else { "every other" };
    println!("{every} file is as it was before nodeseal; a running containerd goes on without it");
    Ok(ExitCode::SUCCESS)
}

fn files(root: &Path) -> anyhow::Result<ExitCode> {
    let root = Root::open(root)?;
    let state = root.read(layout::STATE, 64 << 20)?;
    let Some(content) = state else {
        println!("the agent keeps no files here");
        return Ok(ExitCode::SUCCESS);
    };
    let state = State::from_json(&content.bytes)
        .with_context(|| format!("the record {}", root.show(layout::STATE)))?;
    for (path, record) in &state.files {
        print!(
            "{}  {:04o}  {}",
            record.sha256,
            record.mode,
            root.show(path)
        );
        match &record.original {
            Some(copy) => println!("  (before nodeseal: {})", root.show(copy)),
            None => println!(),
        }
    }
    Ok(ExitCode::SUCCESS)
}
