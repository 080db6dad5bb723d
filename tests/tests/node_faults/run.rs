//! Runs the cases side by side, and prints what became of them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::runtime;

/// How many cases run at once: most of them wait most of the time.
const AT_ONCE: usize = 6;

type Running = Pin<Box<dyn Future<Output = Result<Recovered>>>>;

/// One fault.
pub(crate) struct Case {
    name: String,
    expected: &'static str,
    slow: bool,
    run: Box<dyn FnOnce() -> Running + Send>,
}

/// What became of it: how long it took from the end of the fault until all was as it has to be.
/// Nothing where there was nothing to recover from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recovered(pub(crate) Option<Duration>);

impl Case {
    /// A fault, and what is expected of the node.
    pub(crate) fn new<F>(
        name: impl Into<String>,
        expected: &'static str,
        run: impl FnOnce() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Recovered>> + 'static,
    {
        Self {
            name: name.into(),
            expected,
            slow: false,
            run: Box::new(|| Box::pin(run())),
        }
    }

    /// One that takes minutes.
    pub(crate) fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

/// Whether everything is tested, and not a sample.
pub(crate) fn full() -> bool {
    std::env::var_os("NODESEAL_FULL").is_some_and(|value| !value.is_empty())
}

struct Row {
    at: usize,
    name: String,
    expected: &'static str,
    result: Result<Recovered>,
    took: Duration,
}

/// Runs all, those of `NODESEAL_FAULT` where that is set. Fails if one of them does, or if there are
/// fewer than `least`.
pub(crate) fn run(cases: Vec<Case>, least: usize) -> Result<()> {
    let wanted = std::env::var("NODESEAL_FAULT").unwrap_or_default();
    let cases: VecDeque<(usize, Case)> = cases
        .into_iter()
        .filter(|case| (full() || !case.slow) && case.name.contains(&wanted))
        .enumerate()
        .collect();
    let count = cases.len();
    let cases = Mutex::new(cases);
    let rows = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, case)) = take(&cases) {
                    let row = row(at, case);
                    rows.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row| row.at);
    print(&rows);
    let failed = rows.iter().filter(|row| row.result.is_err()).count();
    ensure!(failed == 0, "{failed} of {count} faults were not survived");
    ensure!(
        count >= least || !wanted.is_empty(),
        "there are only {count} faults, and {least} are the least"
    );
    Ok(())
}

fn take(cases: &Mutex<VecDeque<(usize, Case)>>) -> Option<(usize, Case)> {
    cases
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop_front()
}

fn row(at: usize, case: Case) -> Row {
    let begin = Instant::now();
    let Case {
        name,
        expected,
        run,
        ..
    } = case;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("make a runtime")?.block_on(run())
    }));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(anyhow!("it panicked: {}", text.unwrap_or("without a word")))
    });
    let took = begin.elapsed();
    if let Err(error) = &result {
        eprintln!("NOT survived: {name}: {error:#}");
    }
    Row {
        at,
        name,
        expected,
        result,
        took,
    }
}

fn print(rows: &[Row]) {
    let width = rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or_default();
    println!(
        "\n{:width$}  survived  recovered in  of        expected",
        "fault"
    );
    for row in rows {
        let (survived, recovered) = match &row.result {
            Ok(Recovered(Some(took))) => ("yes", format!("{:.2} s", took.as_secs_f32())),
            Ok(Recovered(None)) => ("yes", "at once".to_owned()),
            Err(_) => ("NO", "-".to_owned()),
        };
        let (name, expected) = (&row.name, row.expected);
        let whole = format!("{:.1} s", row.took.as_secs_f32());
        println!("{name:width$}  {survived:8}  {recovered:12}  {whole:8}  {expected}");
    }
    println!("{} faults", rows.len());
    for row in rows {
        if let Err(error) = &row.result {
            println!("\n{}: {error:#}", row.name);
        }
    }
}
