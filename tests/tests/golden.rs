//! Cases as folders: policies and a node in, its files and what they leave out.
//!
//! ```text
//! tests/golden/<what happens>/
//!   policies.yaml, or policies/*      what is in force
//!   before/policies.yaml              what was until now, if anything
//!   node.yaml                         the node, and where it has them its own files:
//!   base.json, registries.conf, registries.conf.d/*, registries.d/*
//!   asks.yaml                         which images may run, judged by the real library
//!   expected/                         the files at their paths, report.json, steps.txt
//! ```
//!
//! `${KEY_A}` stands for a public key, see `keys`. `NODESEAL_GOLDEN=write` rewrites what is
//! expected. Before that every file has been read by whoever reads it on a node, and every image
//! was given its verdict, so nothing is kept that they refuse.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

#[path = "golden/case.rs"]
mod case;
#[path = "golden/consumers.rs"]
mod consumers;
#[path = "golden/keys.rs"]
mod keys;
#[path = "golden/orders.rs"]
mod orders;
#[path = "golden/outcome.rs"]
mod outcome;
#[path = "golden/steps.rs"]
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use policy::files::FileSet;
use policy::paths;

use crate::case::{Case, Wanted};
use crate::consumers::Consumers;
use crate::keys::{Pems, Signers, fixed};
use crate::outcome::{Expected, Outcome, outcome};
use crate::steps::Way;

const KEYS: &str = "keys";
const STEPS: &str = "steps.txt";

#[test]
fn every_node_gets_the_files_that_its_policies_mean() -> Result<()> {
    let mut consumers = Consumers::start()?;
    let pems = fixed(&golden().join(KEYS))?;
    let mut wrong = Vec::new();
    let mut outcomes: BTreeMap<Expected, PathBuf> = BTreeMap::new();
    let cases = cases(&pems)?;
    // All before any is written.
    for case in &cases {
        let in_case = || case.folder.display().to_string();
        let after = outcome(case, &case.policies).with_context(in_case)?;
        consumers.accept(case, &after.files).with_context(in_case)?;
        let found = expected(case, &after).with_context(in_case)?;
        if let Some(twin) = outcomes.insert(found, case.folder.clone()) {
            wrong.push(format!(
                "{} has the outcome of {}",
                in_case(),
                twin.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let write_it = std::env::var("NODESEAL_GOLDEN").is_ok_and(|value| value == "write");
    for (found, case) in &outcomes {
        let expected = case.join("expected");
        if write_it {
            write(&expected, found)?;
        }
        let wanted = read(&expected)?;
        for path in wanted.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            let (wanted, found) = (wanted.get(path), found.get(path));
            if wanted != found {
                let path = expected.join(path);
                let shown = |text: Option<&String>| text.map_or("nothing", |text| text).to_owned();
                wrong.push(format!(
                    "{}\nexpected:\n{}\nfound:\n{}",
                    path.display(),
                    shown(wanted),
                    shown(found)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nNODESEAL_GOLDEN=write accepts what was found",
        wrong.join("\n\n")
    );
    println!("{} cases", cases.len());
    assert!(cases.len() >= 60, "{} cases", cases.len());
    Ok(())
}

/// With keys that can sign in the place of those that are expected.
#[test]
fn images_run_or_do_not_as_the_cases_say() -> Result<()> {
    let mut consumers = Consumers::start()?;
    let signers = Signers::generate(&fixed(&golden().join(KEYS))?)?;
    let pems = signers.pems()?;
    let mut wrong = Vec::new();
    let (mut asked, mut on_the_way) = (0, 0);
    for case in cases(&pems)? {
        let in_case = || case.folder.display().to_string();
        let after = outcome(&case, &case.policies).with_context(in_case)?;
        let way = match &case.before {
            Some(before) => Some(Way::new(&outcome(&case, before)?, &after)?),
            None => None,
        };
        for ask in &case.asks {
            let mut verdict = |files: &FileSet| {
                let said = consumers.ask(&case, files, ask, &signers);
                said.with_context(|| format!("{}: {}", case.folder.display(), ask.image))
            };
            asked += 1;
            let (new, why) = verdict(&after.files)?;
            let what = format!("{}: {} {:?}", in_case(), ask.image, ask.signed_by);
            if new != ask.verdict {
                wrong.push(format!("{what}: {new:?} {why}"));
            }
            // What neither the old nor the new files allow is allowed at no time.
            let Some((old, steps)) = way.as_ref().and_then(|way| way.states.split_first()) else {
                continue;
            };
            let either = new == Wanted::Allowed || verdict(old)?.0 == Wanted::Allowed;
            for (index, files) in steps.iter().enumerate() {
                on_the_way += 1;
                if verdict(files)?.0 == Wanted::Allowed && !either {
                    wrong.push(format!("{what}: allowed after step {}", index + 1));
                }
            }
        }
    }
    println!("{asked} images asked for, {on_the_way} of them on the way");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn no_order_of_the_input_changes_a_byte() -> Result<()> {
    let pems = fixed(&golden().join(KEYS))?;
    let mut wrong = Vec::new();
    let mut orders = 0;
    for case in cases(&pems)? {
        let wanted = unplaced(outcome(&case, &case.policies)?);
        let mut all = orders::of_documents(&case.policies);
        all.push(orders::of_sets(&case.policies)?);
        orders += all.len();
        for other in all {
            let found = unplaced(outcome(&case, &other)?);
            if found.files != wanted.files || found.report != wanted.report {
                wrong.push(format!(
                    "{}\n{:#?}\n{:#?}\n{}",
                    case.folder.display(),
                    wanted.report,
                    found.report,
                    other[0].text
                ));
            }
        }
    }
    println!("{orders} orders");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Otherwise the first test would prove nothing.
#[test]
fn files_that_nobody_takes_are_found_out() -> Result<()> {
    let mut consumers = Consumers::start()?;
    let pems = fixed(&golden().join(KEYS))?;
    let mut refused = |name: &str, path: &str, change: &dyn Fn(&str) -> String| {
        let case = Case::read(golden().join(name), &pems)?;
        let mut files = outcome(&case, &case.policies)?.files;
        consumers.accept(&case, &files)?;
        let file = files.get_mut(path).context("the case has that file")?;
        let text = change(std::str::from_utf8(&file.bytes)?);
        file.bytes = text.into_bytes();
        let taken = consumers.accept(&case, &files);
        ensure!(taken.is_err(), "{name}: {path} is taken");
        Ok(())
    };
    let twice = |text: &str| format!("{text}  \"off.example.com\": {{}}\n");
    let crio = "one-key-becomes-one-rule";
    let containerd = "a-containerd-node-gets-one-table";
    refused(crio, paths::CRIO_POLICY, &|text| {
        text.replace("default", "Default")
    })?;
    refused(containerd, paths::VERIFIER_POLICY, &|text| {
        text.replacen('{', "{\"more\": 1,", 1)
    })?;
    refused(containerd, paths::CONTAINERD_DROP_IN, &|text| {
        text.replace("bin_dir", "bin_folder")
    })?;
    refused(containerd, paths::CONTAINERD_DROP_IN, &|text| {
        text.replace("version = 3", "version = 9")
    })?;
    refused(
        "signatures-that-others-switch-off-are-reported",
        policy::crio::render::REGISTRIES_D_FILE,
        &twice,
    )
}

/// What lies below `expected`.
fn expected(case: &Case, after: &Outcome) -> Result<Expected> {
    let mut expected = after.expected()?;
    if let Some(before) = &case.before {
        let way = Way::new(&outcome(case, before)?, after)?;
        let last = way.states.last();
        ensure!(last == Some(&after.files), "the steps lead elsewhere");
        expected.insert(STEPS.to_owned(), way.text()?);
    }
    Ok(expected)
}

/// Without the places of problems, which follow the order of the input: `file:line:column: ` and
/// every other number.
fn unplaced(mut outcome: Outcome) -> Outcome {
    for problem in &mut outcome.report.problems {
        let said = problem.split_once(": ").map_or("", |(_, said)| said);
        *problem = said.chars().filter(|c| !c.is_ascii_digit()).collect();
    }
    outcome.report.problems.sort();
    outcome
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn cases(pems: &Pems) -> Result<Vec<Case>> {
    let golden = golden();
    let entries = fs::read_dir(&golden).with_context(|| golden.display().to_string())?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != KEYS) {
            folders.push(path);
        }
    }
    folders.sort();
    let read = |folder: PathBuf| {
        let shown = folder.display().to_string();
        Case::read(folder, pems).context(shown)
    };
    folders.into_iter().map(read).collect()
}

/// All files below a folder by their path; none where it is missing.
fn read(folder: &Path) -> Result<Expected> {
    let mut files = Expected::new();
    let mut open = vec![folder.to_owned()];
    while let Some(dir) = open.pop() {
        if !dir.exists() {
            continue;
        }
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

fn write(folder: &Path, files: &Expected) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a file stands in a folder"))?;
        fs::write(path, text)?;
    }
    Ok(())
}
