//! Every file of the corpus gives exactly the problems that stand in the file beside it.
//!
//! With `NODESEAL_WRITE_EXPECTED` set the expected files are written instead; read every message
//! then: where, what, how to mend.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crds::Severity;
use crds::load::{Loaded, Source, load};

fn corpus(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "json"))
        .collect();
    files.sort();
    files
}

fn load_file(path: &Path) -> Loaded {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    load(&[Source {
        name,
        text: fs::read_to_string(path).unwrap(),
    }])
}

fn described(loaded: &Loaded) -> String {
    let mut text = String::new();
    for problem in &loaded.problems {
        writeln!(text, "{problem}").unwrap();
    }
    for policy in &loaded.policies {
        writeln!(text, "valid: {}", policy.policy.id()).unwrap();
    }
    for root in &loaded.trust_roots {
        writeln!(text, "valid: TrustRoot/{}", root.name).unwrap();
    }
    if loaded.settings.is_some() {
        writeln!(text, "valid: EnforcementConfig").unwrap();
    }
    for invalid in &loaded.invalid {
        writeln!(text, "invalid: {}", invalid.object).unwrap();
    }
    for file in &loaded.broken_files {
        writeln!(text, "broken: {file}").unwrap();
    }
    text
}

fn compare(path: &Path, described: &str) {
    let expected = path.with_extension("expected");
    if std::env::var_os("NODESEAL_WRITE_EXPECTED").is_some() {
        fs::write(&expected, described).unwrap();
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(described, wanted, "{}", path.display());
}

#[test]
fn every_invalid_file_is_refused_with_its_messages() {
    let files = corpus("tests/corpus/invalid");
    assert!(files.len() > 50);
    for path in files {
        let loaded = load_file(&path);
        assert!(loaded.has_errors(), "{}", path.display());
        compare(&path, &described(&loaded));
    }
}

/// The field with every index and every key of a map left out.
fn shape(field: &str) -> String {
    let mut shape = String::new();
    let mut inside = false;
    for c in field.chars() {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            shape.push(c);
        }
    }
    shape
}

#[test]
fn the_corpus_has_many_distinct_outcomes() {
    let files = corpus("tests/corpus/invalid");
    let mut outcomes = BTreeSet::new();
    for path in &files {
        let loaded = load_file(path);
        let errors = loaded.problems_of(Severity::Error);
        outcomes.extend(errors.map(|error| (error.reason.clone(), shape(&error.field))));
    }
    println!("{} files, {} outcomes", files.len(), outcomes.len());
    assert!(files.len() >= 60, "{}", files.len());
    assert!(outcomes.len() >= 60, "{}: {outcomes:#?}", outcomes.len());
}

/// What is wrong stands before a colon, and what to do after it.
#[test]
fn every_error_says_where_it_is_and_what_to_do() {
    for path in corpus("tests/corpus/invalid") {
        for error in load_file(&path).problems_of(Severity::Error) {
            assert!(error.line > 0 && error.column > 0, "{error}");
            assert!(!error.message.contains('\n'), "{error}");
            assert!(says_what_to_do(&error.message), "{error}");
        }
    }
}

fn says_what_to_do(message: &str) -> bool {
    [": ", "?", ". Remove it"]
        .iter()
        .any(|sign| message.contains(sign))
}

#[test]
fn every_valid_file_is_accepted() {
    for path in corpus("tests/corpus/valid") {
        let loaded = load_file(&path);
        assert!(
            !loaded.has_errors(),
            "{}: {:?}",
            path.display(),
            loaded.problems
        );
        assert_eq!(loaded.invalid, []);
        compare(&path, &described(&loaded));
    }
}

#[test]
fn the_samples_are_valid_without_a_warning() {
    let files = corpus("../config/samples");
    assert_eq!(files.len(), 3);
    for path in files {
        let loaded = load_file(&path);
        assert_eq!(loaded.problems, [], "{}", path.display());
        assert_eq!(
            loaded.policies.len() + usize::from(loaded.settings.is_some()),
            1
        );
    }
}

#[test]
fn no_message_shows_key_material() {
    let secrets = [
        "bm90IGEga2V5",
        "bmV2ZXIgdG8",
        "BEGIN PRIVATE",
        "MFkwEwYH",
        "0123456789abcdef0123456789abcdef",
        "never-to_be",
        "MIIB",
    ];
    for path in corpus("tests/corpus/invalid") {
        let loaded = load_file(&path);
        let text = format!("{}{:?}", described(&loaded), loaded.problems);
        let text = text.to_lowercase();
        for secret in secrets.map(str::to_lowercase) {
            assert!(!text.contains(&secret), "{} shows {secret}", path.display());
        }
    }
}
