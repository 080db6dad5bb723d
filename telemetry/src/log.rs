//! How log lines are written.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object on a line
    Json,
}

impl LogFormat {
    /// Begins to log to stderr, as `RUST_LOG` asks, and `info` without it.
    pub fn install(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let subscriber = self.subscriber(filter, io::stderr().is_terminal(), io::stderr);
        // That somebody else was first cannot be: this is where a program begins.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// What writes what passes `filter` to `writer`.
    pub fn subscriber<W>(
        self,
        filter: EnvFilter,
        colours: bool,
        writer: W,
    ) -> Box<dyn Subscriber + Send + Sync>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            // Where a line cannot be written it is told on stderr otherwise, and the program ends if that
            // cannot be written either: a full disk behind stderr must end nobody.
            .log_internal_errors(false)
            .with_writer(writer);
        match self {
            Self::Text => Box::new(builder.with_target(false).with_ansi(colours).finish()),
            Self::Json => Box::new(builder.json().finish()),
        }
    }
}
