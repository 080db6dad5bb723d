//! `nodeseal-operator`: the controller of a cluster.

mod args;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

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
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let settings = args.into_settings();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            identity = settings.identity,
            namespace = settings.namespace,
            health_port = settings.health_port,
            metrics_address = settings.metrics.map(tracing::field::display),
            secret_refresh_s = settings.secret_refresh.as_secs(),
            exempt_images = settings.options.exempt.len(),
            "nodeseal-operator starts"
        );
        Ok(operator::run(settings, shutdown).await?)
    })
}
