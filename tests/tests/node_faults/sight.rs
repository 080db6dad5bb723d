//! Looks at a node's files all the time, and decides as the runtime would decide by them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use policy::crio::document::{PolicyJson, Rule};
use policy::flatten::Outcome;
use policy::reference::Reference;
use policy::verifier::VerifierPolicy;

use crate::node::{CRIO_POLICY, DROP_IN, FOLDER, KEPT, Kind, POLICY, REGISTRIES, VERIFIER};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// What a pull of an image would come to that all policies of the test cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Only a signed one is let in.
    Held,
    /// None is let in.
    Refused(String),
    /// Any is let in.
    Open(String),
}

/// What may be seen meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Every pull is decided by the policies.
    Held,
    /// Pulls may be refused: somebody else broke what decides.
    Refused,
    /// Pulls may go past: somebody else took away what decides, and it is put back.
    Open,
}

/// Somebody who looks.
pub(crate) struct Sight {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(u64, BTreeSet<Verdict>)>>,
}

impl Sight {
    /// Begins to look.
    pub(crate) fn of(root: PathBuf, kind: Kind) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut looks, mut seen) = (0, BTreeSet::new());
            let mut last = None;
            while !told.load(Ordering::Relaxed) {
                let now = bytes(&root, kind);
                if last.as_ref() != Some(&now) {
                    seen.insert(decide(&root, kind));
                    last = Some(now);
                }
                looks += 1;
                thread::sleep(PAUSE);
            }
            (looks, seen)
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it; fails if more was seen than is allowed.
    pub(crate) fn end(mut self, allowed: Allowed) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let (looks, seen) = thread
            .join()
            .map_err(|_| anyhow!("the look at the files panicked"))?;
        ensure!(looks > 0, "nobody looked");
        let bad: Vec<_> = seen
            .iter()
            .filter(|verdict| match verdict {
                Verdict::Held => false,
                Verdict::Refused(_) => allowed == Allowed::Held,
                Verdict::Open(_) => allowed != Allowed::Open,
            })
            .collect();
        ensure!(
            bad.is_empty(),
            "in {looks} looks at the files pulls were seen to be {bad:?}"
        );
        Ok(())
    }
}

impl Drop for Sight {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What the verdict hangs on.
fn bytes(root: &Path, kind: Kind) -> Vec<Option<Vec<u8>>> {
    let paths: &[&str] = match kind {
        Kind::Containerd => &[POLICY, DROP_IN, VERIFIER],
        Kind::Crio => &[CRIO_POLICY, REGISTRIES],
    };
    let mut all: Vec<_> = paths
        .iter()
        .map(|path| fs::read(root.join(path)).ok())
        .collect();
    if kind == Kind::Containerd {
        all.push(names(&root.join(FOLDER)).map(|names| names.join("\n").into_bytes()));
    }
    all
}

fn names(folder: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(folder).ok()?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Some(names)
}

/// Decides about [`KEPT`] by what is on the disk now.
pub(crate) fn decide(root: &Path, kind: Kind) -> Verdict {
    match kind {
        Kind::Containerd => containerd(root),
        Kind::Crio => crio(root),
    }
}

fn containerd(root: &Path) -> Verdict {
    // What a containerd that starts now would do; the one that runs goes on as it was.
    let drop_in = fs::read_to_string(root.join(DROP_IN)).unwrap_or_default();
    if !drop_in.contains(&format!("/{FOLDER}")) {
        return Verdict::Open("the drop-in does not name the folder".to_owned());
    }
    match names(&root.join(FOLDER)) {
        None => return Verdict::Open("there is no folder of verifiers".to_owned()),
        Some(names) if names.is_empty() => {
            return Verdict::Open("the folder of verifiers is empty".to_owned());
        }
        Some(names) if names != ["nodeseal-verifier"] => {
            return Verdict::Refused(format!("other programs are in the folder: {names:?}"));
        }
        Some(_) => {}
    }
    let program = fs::read(root.join(VERIFIER)).unwrap_or_default();
    if !crate::node::is_program(&program) {
        return Verdict::Refused("the verifier is not ours".to_owned());
    }
    let Ok(bytes) = fs::read(root.join(POLICY)) else {
        return Verdict::Refused("the verifier has no policy".to_owned());
    };
    match VerifierPolicy::from_json(&bytes) {
        Err(error) => Verdict::Refused(format!("the verifier's policy: {error}")),
        Ok(policy) => match policy.flat.decide(&kept()).outcome {
            Outcome::Verify(_) => Verdict::Held,
            Outcome::Refused => Verdict::Refused("the table refuses".to_owned()),
            outcome => Verdict::Open(format!("the table says {outcome:?}")),
        },
    }
}

fn crio(root: &Path) -> Verdict {
    let Ok(bytes) = fs::read(root.join(CRIO_POLICY)) else {
        return Verdict::Refused("there is no policy.json".to_owned());
    };
    let policy = match PolicyJson::parse(&bytes) {
        Err(error) => return Verdict::Refused(format!("policy.json: {error}")),
        Ok(policy) => policy,
    };
    let rules = policy.docker_rules(&kept().lookup());
    if rules
        .as_slice()
        .iter()
        .any(|rule| matches!(rule, Rule::SigstoreSigned(_)))
    {
        let looked_up = fs::read_to_string(root.join(REGISTRIES)).unwrap_or_default();
        if !looked_up.contains(KEPT) {
            return Verdict::Refused("signatures are not looked up".to_owned());
        }
        return Verdict::Held;
    }
    if rules
        .as_slice()
        .iter()
        .any(|rule| matches!(rule, Rule::Reject {}))
    {
        return Verdict::Refused("policy.json rejects".to_owned());
    }
    Verdict::Open(format!("policy.json says {rules:?}"))
}

fn kept() -> Reference {
    Reference::parse(&format!("{KEPT}/app:1")).expect("a reference")
}
