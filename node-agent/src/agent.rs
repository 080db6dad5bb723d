//! One look: read the folder, decide, bring the node's files there, say how it went.
//!
//! 1. Finish or undo an interrupted apply.
//! 2. Read the last good policies, the record of written files, and the policy folder; merge.
//! 3. Gather the node's facts, flatten, render **all** files, check **all** of them.
//! 4. Compare with what is on disk; carry out the plan.
//! 5. Status.
//!
//! A failure anywhere leaves the last good state in force and is told in the status.

mod inputs;

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use policy::digest::Digest;
use policy::paths::{CONTAINERD_DROP_IN, VERIFIER_POLICY};

use crate::apply::Contents;
use crate::error::{CycleError, StartError};
use crate::facts::Folder;
use crate::lock::Lock;
use crate::merge;
use crate::plan::{self, Desired, Note, Plan, STATE_MODE, Wanted};
use crate::recover::{self, Recovery};
use crate::root::{Attributes, Root};
use crate::state::{Record, State};
use crate::status::{FileStatus, Kept, Report, Status};
use crate::transaction::READ_LIMIT;
use crate::{apply, check, layout, observe, verifier};

/// What the agent works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of policies, on the agent's own file system.
    pub policy_dir: PathBuf,
    /// The root of the node's file system.
    pub root: PathBuf,
    /// The verifier's binary, on the agent's own file system.
    pub verifier: PathBuf,
    /// containerd's configuration, relative to the root.
    pub containerd_config: String,
    /// Where the verifier goes.
    pub folder: Folder,
    /// Sandbox images besides the one that containerd's configuration names.
    pub sandbox_images: Vec<String>,
}

/// The agent of one root.
#[derive(Debug)]
pub struct Agent {
    options: Options,
    root: Root,
    _lock: Lock,
    /// The status as it is stored.
    stored: Option<Status>,
    /// Leftovers may be there: at the start, and after a failure.
    untidy: bool,
}

/// How a look went.
#[derive(Debug, Clone)]
pub struct Look {
    /// The status.
    pub status: Status,
    /// It is not what the last look said.
    pub is_news: bool,
}

impl Agent {
    /// Takes the root. Nothing of the runtime's is touched yet.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let root = Root::open(&options.root)?;
        for dir in layout::STATE_DIRS {
            root.create_dirs(dir, 0o700)?;
        }
        let lock = Lock::take(&root)?;
        // A status is only for information: one that cannot be read is written anew.
        let stored = root
            .read(layout::STATUS, READ_LIMIT)?
            .and_then(|content| serde_json::from_slice(&content.bytes).ok());
        Ok(Self {
            options,
            root,
            _lock: lock,
            stored,
            untidy: true,
        })
    }

    /// What the agent works with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// One look. `now` is for the status alone.
    pub fn look(&mut self, now: Timestamp) -> Look {
        let mut report = Report::default();
        if let Err(error) = self.bring_there(&mut report) {
            self.untidy = true;
            report.failure = Some((error.failure(), error.to_string()));
        }
        let status = Status::new(report, self.stored.as_ref(), now);
        let is_news = self.stored.as_ref() != Some(&status);
        if is_news {
            let private = Attributes::mode(STATE_MODE);
            match status.to_json() {
                Ok(bytes) => {
                    if let Err(error) = self.root.replace(layout::STATUS, &bytes, &private) {
                        tracing::warn!("the status could not be stored: {error}");
                    }
                }
                Err(error) => tracing::warn!("the status could not be put into JSON: {error}"),
            }
            self.stored = Some(status.clone());
        }
        Look { status, is_news }
    }

    fn bring_there(&mut self, report: &mut Report) -> Result<(), CycleError> {
        let place = &self.options.folder.place;
        let recovery = recover::recover(&self.root)?;
        let (state, damaged) = self.state()?;
        let mut notes: Vec<String> = recovery.message().into_iter().chain(damaged).collect();
        let mut paths: BTreeSet<String> = state.files.keys().cloned().collect();
        paths.extend([VERIFIER_POLICY.to_owned(), CONTAINERD_DROP_IN.to_owned()]);
        if self.untidy {
            recover::tidy(&self.root, place, &paths)?;
            self.untidy = false;
        }
        files(&state, report);

        let (merged, problems) = self.merged(report)?;
        report.problems = problems;
        report.kept = merged.kept.iter().map(kept).collect();
        report.diagnostics = policy::containerd::diagnostics(&merged.ledger.bundle, None);
        for id in &merged.never_valid {
            report
                .warnings
                .push(format!("{id} was never valid: it enforces nothing"));
        }

        let facts = self.facts(report)?;
        report.warnings.extend(facts.warnings.iter().cloned());
        let flat = policy::flatten::flatten(&merged.ledger.bundle, &facts.node);
        let digest = merged.ledger.bundle.digest();
        let rendered = policy::containerd::render(&flat, &digest, &facts.containerd);
        check::check(&rendered, &facts.containerd)?;

        let wanted = rendered.iter().map(|(path, file)| {
            let sha256 = Digest::of(&file.bytes);
            (
                path.clone(),
                Wanted {
                    sha256,
                    mode: file.mode,
                },
            )
        });
        let desired = Desired {
            place: place.clone(),
            verifier: Digest::of(&verifier::read(&self.options.verifier)?),
            files: wanted.collect(),
            bundle: merged.ledger.to_json()?,
            uid: self.root.uid(),
        };
        paths.extend([layout::BUNDLE.to_owned(), layout::STATE.to_owned()]);
        let current = observe::observe(&self.root, place, &paths)?;
        let Plan {
            steps,
            state: record,
            notes: found,
        } = plan::plan(&current, &state, &desired)?;
        let mut contents = Contents {
            files: rendered
                .into_iter()
                .map(|(path, file)| (path, file.bytes))
                .collect(),
            verifier: self.options.verifier.clone(),
        };
        contents
            .files
            .insert(layout::BUNDLE.to_owned(), desired.bundle);
        contents
            .files
            .insert(layout::STATE.to_owned(), record.clone());
        apply::apply(&self.root, place, &steps, &contents)?;

        notes.extend(found.iter().map(|note| self.describe(note)));
        if !steps.is_empty() || !matches!(recovery, Recovery::Nothing) {
            report.applied = Some(notes);
        }
        report.bundle = Some(digest);
        report.policies = merged.ledger.sources.len();
        files(&State::from_json(&record)?, report);
        Ok(())
    }

    fn describe(&self, note: &Note) -> String {
        let show = |path: &String| self.root.show(path);
        match note {
            Note::Foreign { path, copy } => format!(
                "{} was not written by nodeseal and is replaced; its copy is {}",
                show(path),
                show(copy)
            ),
            Note::Changed { path, copy } => format!(
                "{} was changed by someone else and is put back; what it looked like is in {}",
                show(path),
                show(copy)
            ),
            Note::PutBack { path } => {
                format!("{} was removed or changed and is put back", show(path))
            }
        }
    }
}

fn kept(kept: &merge::Kept) -> Kept {
    let policy = kept
        .policy
        .as_ref()
        .map_or("EnforcementConfig".to_owned(), ToString::to_string);
    Kept {
        policy,
        file: kept.file.clone(),
        message: kept.message(),
    }
}

/// The managed files, and the copies of what was there before nodeseal.
fn files(state: &State, report: &mut Report) {
    let file = |(path, record): (&String, &Record)| FileStatus {
        path: path.clone(),
        sha256: record.sha256.clone(),
        original: record.original.clone(),
    };
    report.files = state.files.iter().map(file).collect();
}
