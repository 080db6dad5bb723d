//! The way from what a node had to what it gets.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use policy::crio::render::REGISTRIES_D_FILE;
use policy::crio::transition::{self, Step};
use policy::files::FileSet;

use crate::outcome::Outcome;

/// The steps, and the files after each of them, those of before first.
pub(crate) struct Way {
    pub(crate) steps: Vec<Step>,
    pub(crate) states: Vec<FileSet>,
}

impl Way {
    /// What the agent would carry out. A file that nodeseal did not write is not among the states.
    pub(crate) fn new(before: &Outcome, after: &Outcome) -> Result<Self> {
        let (old, _) = before.crio.as_ref().context("steps are those of CRI-O")?;
        let (new, facts) = after.crio.as_ref().context("steps are those of CRI-O")?;
        let namespaces: BTreeSet<String> = old.namespaces.keys().cloned().collect();
        let steps = transition::steps(&old.locations, &namespaces, new, facts);
        let mut states = vec![before.files.clone()];
        for step in &steps {
            let mut files = states.last().cloned().unwrap_or_default();
            match step {
                Step::Write { path, file } => files.insert(path.clone(), file.clone()),
                Step::Restore { path } => files.remove(path),
            };
            states.push(files);
        }
        Ok(Self { steps, states })
    }

    /// One line a step, and below it the locations where signatures are looked up from then on.
    pub(crate) fn text(&self) -> Result<String> {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Write { path, file } => {
                    writeln!(text, "write {path}")?;
                    if path == REGISTRIES_D_FILE {
                        let content = std::str::from_utf8(&file.bytes)?;
                        let names = content.lines().filter(|line| line.starts_with("  \""));
                        for name in names {
                            writeln!(text, "  {}", name.trim().trim_end_matches(':'))?;
                        }
                    }
                }
                Step::Restore { path } => writeln!(text, "restore {path}")?,
            }
        }
        Ok(text)
    }
}
