//! The process around one answer: whatever happens in it, exit code 0 means "allowed" and nothing
//! else does.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::args::{self, Call};
use crate::environment::Environment;
use crate::limits;
use crate::policy_file;
use crate::reason::{Reason, Refusal, bounded};
use crate::run::{Answer, answer};
use crate::verdicts;
use crate::watchdog::Watchdog;

/// The exit code of a pass.
const ALLOWED: u8 = 0;
/// The exit code of a refusal.
const REFUSED: u8 = 1;
/// The exit code of a call that is no verification. It must not be 0 either.
const NOT_A_VERIFICATION: u8 = 2;
/// The most bytes of a panic's message.
const MAX_PANIC: usize = 200;
/// How long the log of verdicts may take, once the answer is given.
const LOG_PATIENCE: Duration = Duration::from_millis(200);

/// Runs one call of containerd.
#[must_use]
pub fn main() -> ExitCode {
    let started = Instant::now();
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("unknown");
        let place = info
            .location()
            .map_or(String::new(), |place| format!(" at {place}"));
        let message = format!("the verifier failed: {}{place}", bounded(what, MAX_PANIC));
        say(&Refusal::new(Reason::Internal, message).line());
    }));
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Call::Verify(args)) => args,
        Ok(Call::Version) => {
            say(concat!("nodeseal-verifier ", env!("CARGO_PKG_VERSION")));
            return ExitCode::from(NOT_A_VERIFICATION);
        }
        Err(error) => return refuse(Reason::InvalidRequest, error.to_string()),
    };
    let environment = Environment::from_variables(std::env::vars_os());
    if let Err(error) = limits::apply(policy_file::size(&environment.root())) {
        return refuse(
            Reason::Internal,
            format!("the limits of the process: {error}"),
        );
    }
    let watchdog = match Watchdog::start(started, limits::default_deadline()) {
        Ok(watchdog) => watchdog,
        Err(error) => return refuse(Reason::Internal, format!("the watchdog: {error}")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(Reason::Internal, format!("the runtime: {error}")),
    };
    let answer = runtime.block_on(answer(
        &args,
        std::io::stdin().lock(),
        &environment,
        started.into(),
        &watchdog,
    ));
    watchdog.disarm();
    let taken = started.elapsed();
    let code = finish(&answer);
    // A thread of its own would be waited for, which on a busy machine costs more than the rest.
    watchdog.end_within(LOG_PATIENCE, code);
    let records = verdicts::records(&args, &answer, taken, Timestamp::now());
    // Whatever goes wrong, there are fewer lines.
    let _ = verdicts::append(&environment.root(), &records);
    // Lookups that are still under way have nothing to say any more.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Gives the answer, and its exit code.
fn finish(answer: &Answer) -> u8 {
    let mut stderr = std::io::stderr().lock();
    for line in &answer.diagnostics {
        // What nobody reads is not worth failing for.
        let _ = writeln!(stderr, "{line}");
    }
    say(&answer.line);
    match answer.refusal {
        None => ALLOWED,
        Some(_) => REFUSED,
    }
}

fn refuse(reason: Reason, message: String) -> ExitCode {
    say(&Refusal::new(reason, message).line());
    ExitCode::from(REFUSED)
}

/// Writes one line to stdout. A reader that has gone changes nothing about the answer.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
