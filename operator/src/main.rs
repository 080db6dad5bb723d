//! `nodeseal-operator`: the controller of a cluster.

mod args;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Args;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    args.log_format.install();
    // One TLS provider in the whole product. That another one was there first cannot be: this is
    // the first line that could have installed one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    runtime.block_on(async {
        let mut signals = Signals::new().context("cannot wait for signals")?;
        let (shutdown, asked) = tokio::sync::oneshot::channel();
        let settings = args.into_settings();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            identity = settings.identity,
            namespace = settings.options.namespace,
            health_port = settings.health_port,
            metrics_address = settings.metrics.map(tracing::field::display),
            secret_refresh_s = settings.secret_refresh.as_secs(),
            node_writes_per_second = settings.node_writes,
            tuf_ca_file = settings.tuf_ca_file.as_ref().map(|path| tracing::field::display(path.display())),
            exempt_images = settings.options.exempt.len(),
            "nodeseal-operator starts"
        );
        let running = operator::run(settings, async {
            // The other end is never dropped before.
            let _ = asked.await;
        });
        let twice = async {
            signals.next().await;
            let _ = shutdown.send(());
            signals.next().await;
        };
        tokio::select! {
            ended = running => Ok(ended?),
            () = twice => anyhow::bail!("a second signal: ended at once, the lease is left to run out"),
        }
    })
}

/// SIGTERM, which a pod gets, and SIGINT, which a terminal sends.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
