//! Programs, run again and again, and what they cost.

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use wait4::Wait4 as _;

/// One run of one program.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    pub(crate) peak_bytes: u64,
}

/// Something to run again and again.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) stdin: String,
}

impl Contender {
    /// Runs it; it has to succeed.
    pub(crate) fn run(&self) -> Result<Sample> {
        let stdin = tempfile::NamedTempFile::new()?;
        fs::write(stdin.path(), &self.stdin)?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("--measure").args(&self.command);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .env("STDIN_FILE", stdin.path())
            .stderr(Stdio::inherit())
            .arg0("measure");
        let output = command.output().context("start the measuring process")?;
        let shown = || self.command.join(" ");
        ensure!(
            output.status.success(),
            "`{}` could not be measured",
            shown()
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Runs a program and prints what it cost. A process of its own that has done nothing before: what
/// a child is charged with at its start is the memory of its parent.
pub(crate) fn measure(command: &[String]) -> Result<()> {
    let [program, arguments @ ..] = command else {
        bail!("no program to measure")
    };
    let stdin = fs::File::open(env::var("STDIN_FILE").context("STDIN_FILE")?)?;
    let said = tempfile::tempfile()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(stdin)
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?);
    command.env_remove("STDIN_FILE");
    let started = Instant::now();
    let used = command
        .spawn()
        .context("start the program")?
        .wait4()
        .context("wait for it")?;
    let wall = started.elapsed();
    if !used.status.success() {
        let said = std::io::read_to_string(rewound(said)?)?;
        bail!("{program} failed ({}): {said}", used.status);
    }
    let sample = Sample {
        wall,
        peak_bytes: used.rusage.maxrss,
    };
    std::io::stdout().write_all(serde_json::to_string(&sample)?.as_bytes())?;
    Ok(())
}

fn rewound(mut file: fs::File) -> Result<fs::File> {
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// Lets the next run read its program from the disk; without the right to it cold is only first.
pub(crate) fn drop_caches() {
    let _ = fs::write("/proc/sys/vm/drop_caches", "3");
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The value that this part of `times` does not exceed.
pub(crate) fn quantile(times: impl IntoIterator<Item = Duration>, part: f64) -> Duration {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (times.len() as f64 * part) as usize;
    let last = times.len().saturating_sub(1);
    times.get(place.min(last)).copied().unwrap_or_default()
}

pub(crate) fn median(samples: &[Sample]) -> Duration {
    quantile(walls(samples), 0.5)
}

pub(crate) fn fastest(samples: &[Sample]) -> Duration {
    quantile(walls(samples), 0.0)
}

pub(crate) fn slowest(samples: &[Sample]) -> Duration {
    quantile(walls(samples), 1.0)
}

pub(crate) fn peak(samples: &[Sample]) -> u64 {
    let peaks = samples.iter().map(|sample| sample.peak_bytes);
    peaks.max().unwrap_or_default()
}

fn walls(samples: &[Sample]) -> impl Iterator<Item = Duration> {
    samples.iter().map(|sample| sample.wall)
}
