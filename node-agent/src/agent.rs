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

use crds::bundle::object_name;
use jiff::Timestamp;

use crate::cluster::Order;
use crate::error::{CycleError, StartError};
use crate::journal::Step;
use crate::lock::Lock;
use crate::plan::{self, Desired, Note, Plan, STATE_MODE, Target};
use crate::recover::{self, Recovery};
use crate::root::{Attributes, Root};
use crate::runtime::{Node, Runtime};
use crate::state::{Record, State};
use crate::status::{FileStatus, Kept, Report, Status};
use crate::transaction::READ_LIMIT;
use crate::{apply, backup, layout, merge, observe};

/// Where policies come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on the agent's own file system.
    Folder(PathBuf),
    /// The cluster, by way of [`Agent::take`].
    Cluster,
}

/// What the agent works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the policies come from.
    pub source: Source,
    /// The root of the node's file system.
    pub root: PathBuf,
    /// The container runtime.
    pub runtime: Runtime,
    /// Sandbox images besides the one that the runtime's configuration names.
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
    /// What the cluster asks for.
    order: Order,
}

/// How a look went.
#[derive(Debug, Clone)]
pub struct Look {
    /// The status.
    pub status: Status,
    /// It is not what the last look said.
    pub is_news: bool,
    /// The generation of the cluster's object that it is about.
    pub generation: Option<i64>,
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
            order: Order::default(),
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

    /// Takes what the cluster asks for; the next look acts on it.
    pub fn take(&mut self, order: Order) {
        self.order = order;
    }

    /// The name of the bundle on disk, if there is one that can be read.
    #[must_use]
    pub fn stored_bundle(&self) -> Option<String> {
        let ledger = self.ledger().ok()?.ok()??;
        Some(object_name(&ledger.bundle.digest()))
    }

    /// One look. `now` is for the status alone.
    pub fn look(&mut self, now: Timestamp) -> Look {
        let mut report = Report::default();
        let mut trouble = self.order.trouble.clone();
        if let Err(error) = self.bring_there(&mut report) {
            self.untidy = true;
            report.failure = Some((error.failure(), error.to_string()));
            if !matches!(error, CycleError::NothingYet { .. }) {
                trouble = None;
            }
        }
        // The node is as what is in force asks, and that is not what the cluster asks for.
        report.failure = trouble.or(report.failure);
        report.warnings.extend(self.order.warning.clone());
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
        Look {
            status,
            is_news,
            generation: self.order.generation,
        }
    }

    fn bring_there(&mut self, report: &mut Report) -> Result<(), CycleError> {
        report.runtime = self.options.runtime.about();
        let recovery = recover::recover(&self.root)?;
        let (mut state, damaged) = self.state()?;
        let mut notes: Vec<String> = recovery.message().into_iter().chain(damaged).collect();
        self.tidy(&state)?;
        files(&state, report);

        let (merged, problems) = self.merged(report)?;
        report.problems = problems;
        report.kept = merged.kept.iter().map(kept).collect();
        for id in &merged.never_valid {
            report
                .warnings
                .push(format!("{id} was never valid: it enforces nothing"));
        }
        let node = Node {
            root: &self.root,
            state: &state,
            sandbox_images: &self.options.sandbox_images,
        };
        let bundle = &merged.ledger.bundle;
        let sets = self.options.runtime.render(node, bundle, report)?;
        let ledger = merged.ledger.to_json()?;
        let mut changed = !matches!(recovery, Recovery::Nothing);
        for targets in sets {
            let plan = self.bring_set(&state, targets, &ledger)?;
            changed |= !plan.steps.is_empty();
            notes.extend(plan.notes.iter().map(|note| self.describe(note)));
            state = State::from_json(&plan.state)?;
            // With the first set the bundle is in force, whatever becomes of the next.
            report.applied = changed.then(|| notes.clone());
            report.bundle = Some(bundle.digest());
            report.policies = bundle.policies().count();
            files(&state, report);
        }
        Ok(())
    }

    /// Leftovers of an agent that was cut off, or that failed.
    fn tidy(&mut self, state: &State) -> Result<(), CycleError> {
        if !std::mem::take(&mut self.untidy) {
            return Ok(());
        }
        let runtime = &self.options.runtime;
        let mut paths: BTreeSet<String> = state.files.keys().cloned().collect();
        paths.extend(runtime.unrecorded(&self.root)?);
        Ok(recover::tidy(&self.root, runtime.place(), &paths)?)
    }

    /// Brings one set of files to disk.
    fn bring_set(
        &self,
        state: &State,
        targets: Vec<Target>,
        ledger: &[u8],
    ) -> Result<Plan, CycleError> {
        let place = self.options.runtime.place();
        let mut paths: BTreeSet<String> = state.files.keys().cloned().collect();
        paths.extend([layout::BUNDLE.to_owned(), layout::STATE.to_owned()]);
        paths.extend(targets.iter().filter_map(Target::path).map(str::to_owned));
        let current = observe::observe(&self.root, place, &paths, state)?;
        let desired = Desired {
            place: place.cloned(),
            targets,
            bundle: ledger.to_vec(),
            uid: self.root.uid(),
        };
        let plan = plan::plan(&current, state, &desired)?;
        apply::apply(&self.root, place, &plan)?;
        let keeps_a_copy = |step: &Step| step.before.as_ref().is_some_and(|before| before.lasting);
        if plan.steps.iter().any(keeps_a_copy) {
            backup::prune(&self.root, &State::from_json(&plan.state)?)?;
        }
        Ok(plan)
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
            Note::Lost { path, copy } => format!(
                "what was at {} before nodeseal cannot be given back, so nodeseal's file stays: \
                 its copy {} is lost or damaged",
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
