//! `nodeseal-agent`: keeps one node's files as a folder of policies, or the cluster, asks.

mod args;
mod commands;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use node_agent::agent::{Agent, Look};
use node_agent::books::Books;
use node_agent::cluster::{self, Calls, Order, Said};
use node_agent::hands::Hands;
use node_agent::metrics::{Health, Metrics, Pages};
use node_agent::turn::turn;
use node_agent::watch;
use tokio::sync::watch::channel;

use crate::args::{Args, Cli, Output};

/// How long one turn may take before the agent counts as stuck: images that are pulled again, a restart
/// and a proof have their own deadlines, which add up to less.
const TURN: Duration = Duration::from_mins(15);

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(command) = cli.command {
        return commands::run(command);
    }
    let Some(args) = cli.args else {
        // clap asks for them where there is no command.
        return ExitCode::from(2);
    };
    if let Err(error) = args.check() {
        error.exit();
    }
    args.log_format.install();
    let output = args.output;
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            if output == Output::Json {
                print(&format!(
                    "{}\n",
                    serde_json::json!({ "error": format!("{error:#}") })
                ));
            }
            eprintln!("nodeseal-agent: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (output, once, recheck) = (args.output, args.once, args.recheck());
    let address = args.metrics_address();
    let cluster = args.cluster();
    if cluster.is_some() {
        // Whoever was first, there is one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let reach = args.reach()?;
    if reach.is_some() {
        // Also for the registry by which a node proves that it enforces.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let version = env!("CARGO_PKG_VERSION");
    let node = cluster.as_ref().map(|cluster| cluster.node.as_str());
    let recheck_s = recheck.as_secs();
    let metrics_address = address.map(tracing::field::display);
    tracing::info!(
        version,
        node,
        once,
        recheck_s,
        metrics_address,
        "nodeseal-agent starts"
    );
    let mut agent = Agent::start(args.into_options()?)?;
    let mut hands = reach.map(Hands::new);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    if once {
        let (look, _) = runtime.block_on(turn(&mut agent, hands.as_mut(), None, None));
        tell(output, &look);
        return Ok(if look.status.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        });
    }
    let books = books(&agent, address, recheck)?;
    let mut first = true;
    let mut news = move |look: &Look| {
        if std::mem::take(&mut first) || look.is_news {
            tell(output, look);
        }
    };
    runtime.block_on(async {
        let Some(cluster) = cluster else {
            let keep = watch::run(agent, hands, Some(books), recheck, None, |_, look| {
                news(look);
            });
            return Ok::<_, anyhow::Error>(Box::pin(keep).await?);
        };
        let calls = Calls::new(&cluster).await?;
        let (orders, taken) = channel(Order::default());
        let (says, said) = channel(None);
        let follow = cluster::follow(calls, agent.stored_bundle(), orders, said);
        let keep = watch::run(
            agent,
            hands,
            Some(books),
            recheck,
            Some(taken),
            |_, look| {
                news(look);
                let (status, generation) = (look.status.clone(), look.generation);
                says.send_replace(Some(Said { status, generation }));
            },
        );
        tokio::select! {
            ended = Box::pin(keep) => Ok(ended?),
            () = follow => bail!("the cluster is not followed any more"),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The books, and their server where one is asked for.
fn books(agent: &Agent, address: Option<SocketAddr>, recheck: Duration) -> anyhow::Result<Books> {
    let (metrics, health) = (Metrics::new(), Health::new(recheck + TURN));
    let (metrics, health) = (Arc::new(metrics), Arc::new(health));
    if let Some(address) = address {
        let listener = telemetry::listen(
            address,
            "metrics",
            "give another --metrics-address, or `off`",
        )?;
        let bound = listener.local_addr()?;
        let pages = Pages::new(Arc::clone(&metrics), Arc::clone(&health));
        telemetry::spawn(listener, Arc::new(pages)).context("cannot serve metrics")?;
        tracing::info!("metrics are served on {bound}");
    }
    Ok(Books::open(agent, metrics, health))
}

fn tell(output: Output, look: &Look) {
    match output {
        Output::Text => print(&look.status.to_string()),
        Output::Json => match look.status.to_json() {
            Ok(bytes) => print(&String::from_utf8_lossy(&bytes)),
            Err(error) => tracing::warn!("the status could not be put into JSON: {error}"),
        },
    }
}

/// A reader that went away (`| head`) is no reason to stop keeping the node.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
