//! Whether the running containerd has read what the agent wrote into its configuration.
//!
//! containerd reads it only when it starts, and nothing tells what it read. So the agent remembers
//! for each process what of its own it started with, as far as that can be told: by the times of
//! the files when it first sees the process, by its own restart, and by what changed since. What
//! others write there is no reason to restart it.

use std::time::{Duration, SystemTime};

use node_runtime::process::{Process, Start};
use policy::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::json;

/// The version of the record's format.
const VERSION: u32 = 1;
/// How exactly the kernel tells when a process started, and then some.
const BLUR: Duration = Duration::from_secs(2);

/// What a process has to have read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reads {
    /// The process.
    pub process: Process,
    /// Its root file, absolute.
    pub root_config: String,
    /// Whether the agent has changed that file.
    pub edits_root: bool,
    /// Whether a part of the configuration is the agent's.
    pub ours: bool,
}

/// A process, and the configuration that one which starts now would read.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The process.
    pub process: Start,
    /// When it started, to within two seconds.
    pub started_at: SystemTime,
    /// The digest of what the agent wrote into the configuration on the disk.
    pub config: Digest,
    /// When any of its files was last written, where that is known.
    pub newest: Option<SystemTime>,
    /// Whether a part of the configuration is the agent's.
    pub ours: bool,
}

/// The record: what a process has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Started {
    version: u32,
    boot_id: String,
    pid: u32,
    ticks: u64,
    /// The digest of the configuration; nothing where that cannot be told.
    config: Option<Digest>,
}

impl Started {
    /// Reads the record. One that cannot be read is none.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        json::of_version(bytes, VERSION, |record: &Self| record.version)
    }

    /// The same bytes for the same record.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::lines(self)
    }

    /// The record of a process that was started by the agent, after the files were written.
    #[must_use]
    pub fn with(process: &Start, config: Option<Digest>) -> Self {
        Self {
            version: VERSION,
            boot_id: process.boot_id.clone(),
            pid: process.pid,
            ticks: process.ticks,
            config,
        }
    }

    /// The record of what runs now: the one that was kept, or one by the times of the files.
    #[must_use]
    pub fn of(kept: Option<Self>, running: &Running) -> Self {
        let same = |record: &Self| *record == Self::with(&running.process, record.config.clone());
        if let Some(kept) = kept.filter(same) {
            return kept;
        }
        let read = running
            .newest
            .is_none_or(|newest| newest + BLUR < running.started_at);
        Self::with(&running.process, read.then(|| running.config.clone()))
    }

    /// Whether the process has to be restarted to run with what the agent wrote.
    #[must_use]
    pub fn is_behind(&self, running: &Running) -> bool {
        running.ours && self.config.as_ref() != Some(&running.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(pid: u32, config: &str, newest: u64) -> Running {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Running {
            process: Start {
                boot_id: "b".to_owned(),
                pid,
                ticks: 7,
            },
            started_at: time(1_000),
            config: Digest::of(config.as_bytes()),
            newest: Some(time(newest)),
            ours: true,
        }
    }

    #[test]
    fn a_process_that_started_after_the_files_were_written_has_read_them() {
        let now = running(1, "a", 900);
        let record = Started::of(None, &now);
        assert!(!record.is_behind(&now));
        // Too close to tell, and later.
        for newest in [999, 1_001, 5_000] {
            let now = running(1, "a", newest);
            assert!(Started::of(None, &now).is_behind(&now), "{newest}");
        }
    }

    #[test]
    fn what_changed_since_has_not_been_read() {
        let record = Started::of(None, &running(1, "a", 900));
        // A clock that went back, or a file with an old time: the digest says it.
        let changed = running(1, "b", 900);
        let record = Started::of(Some(record), &changed);
        assert!(record.is_behind(&changed));
        // Back as it was.
        assert!(!record.is_behind(&running(1, "a", 2_000)));
    }

    #[test]
    fn a_process_that_the_agent_started_has_read_what_was_there() {
        let now = running(2, "b", 1_001);
        let record = Started::with(&now.process, Some(now.config.clone()));
        assert!(!Started::of(Some(record), &now).is_behind(&now));
    }

    #[test]
    fn another_process_is_another_question() {
        let record = Started::of(None, &running(1, "a", 900));
        let other = running(2, "b", 900);
        assert!(!Started::of(Some(record), &other).is_behind(&other));
    }

    #[test]
    fn nothing_of_ours_is_no_reason_to_restart() {
        let mut now = running(1, "a", 5_000);
        now.ours = false;
        assert!(!Started::of(None, &now).is_behind(&now));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = Started::of(None, &running(1, "a", 900));
        assert_eq!(Started::from_json(&record.to_json().unwrap()), Some(record));
        assert_eq!(Started::from_json(b"{"), None);
    }
}
