use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use jiff::Timestamp;
use policy::model::PolicyId;
use policy::paths::STATE_DIR;
use policy::verdicts::{DIR, Kind, MAX_RECORD, REASONS};

use super::*;
use crate::args::Args;
use crate::evaluate::{PolicyVerdict, Verdict};
use crate::reason::{Reason, Refusal};
use crate::run::Answer;

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join(STATE_DIR)).unwrap();
    root
}

fn path(root: &tempfile::TempDir, name: &str) -> PathBuf {
    root.path().join(STATE_DIR).join(FOLDER).join(name)
}

fn sample(image: &str) -> Record {
    Record {
        time: Timestamp::now(),
        image: image.to_owned(),
        digest: "sha256:0".to_owned(),
        verdict: Kind::Allowed,
        reason: None,
        policies: vec!["p".to_owned()],
        authorities: vec!["a".to_owned()],
        duration_ms: 1,
        cached: false,
        line: "nodeseal: allowed".to_owned(),
    }
}

/// Every line, the oldest first, and how many are none.
fn read(root: &Path) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut others = 0;
    for name in [PREVIOUS, CURRENT] {
        let path = root.join(STATE_DIR).join(FOLDER).join(name);
        let bytes = fs::read(path).unwrap_or_default();
        // Who sees a line while it is being written takes it for one that was cut.
        let lines = bytes.split(|&byte| byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match Record::parse(line) {
                Some(record) => records.push(record),
                None => others += 1,
            }
        }
    }
    (records, others)
}

fn args(name: &str) -> Args {
    Args {
        name: name.to_owned(),
        digest: policy::digest::Digest::of(b"a").to_string(),
        stdin_media_type: String::new(),
    }
}

fn judged(policy: &str, by: &[&str], refusal: Option<Reason>) -> PolicyVerdict {
    PolicyVerdict {
        policy: PolicyId::Cluster {
            name: policy.to_owned(),
        },
        signed_by: by.iter().map(|&name| name.to_owned()).collect(),
        refusal: refusal.map(|reason| Refusal::new(reason, "because")),
        valid_until: None,
    }
}

#[test]
fn a_pull_becomes_one_line_and_one_for_each_audit() {
    let answer = Answer {
        verdict: Some(Verdict {
            refusal: None,
            enforced: vec![judged("p", &["a", "b"], None), judged("q", &["a"], None)],
            audited: vec![judged("r", &[], Some(Reason::WrongIdentity))],
            valid_until: None,
            trust_roots: [].into(),
        }),
        cached: true,
        refusal: None,
        line: "nodeseal: allowed: signed".to_owned(),
        diagnostics: Vec::new(),
    };
    let records = super::records(
        &args("nginx"),
        &answer,
        Duration::from_millis(7),
        Timestamp::UNIX_EPOCH,
    );
    let text: Vec<String> = records
        .iter()
        .map(|record| String::from_utf8(record.to_line()).unwrap())
        .collect();
    let digest = policy::digest::Digest::of(b"a");
    let head = format!(
        r#"{{"time":"1970-01-01T00:00:00Z","image":"docker.io/library/nginx:latest","digest":"{digest}""#
    );
    assert_eq!(
        text,
        [
            format!(
                r#"{head},"verdict":"allowed","policies":["p","q"],"authorities":["a","b"],"durationMs":7,"cached":true,"line":"nodeseal: allowed: signed"}}{}"#,
                "\n"
            ),
            format!(
                r#"{head},"verdict":"audit","reason":"WrongIdentity","policies":["r"],"authorities":[],"durationMs":7,"cached":true,"line":"because"}}{}"#,
                "\n"
            ),
        ]
    );
}

#[test]
fn a_refusal_has_its_code_and_an_image_that_does_not_parse_its_name() {
    let answer = Answer::refuse(Refusal::new(Reason::InvalidReference, "no"));
    let records = super::records(&args("a b\n"), &answer, Duration::ZERO, Timestamp::now());
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.verdict, Kind::Refused);
    assert_eq!(record.reason.as_deref(), Some("InvalidReference"));
    assert_eq!(record.image, "a b\\u{a}");
    assert!(record.line.starts_with("SignatureValidationFailed: "));
}

#[test]
fn a_line_is_one_line_within_its_limit_whatever_is_in_it() {
    for nasty in ["\n", "\"", "\\", "\u{1}", "\u{202e}", "é", "x"] {
        let long = nasty.repeat(5000);
        let mut answer = Answer::refuse(Refusal::new(Reason::Internal, long.clone()));
        let names: Vec<&str> = vec![&long; 50];
        answer.verdict = Some(Verdict {
            refusal: None,
            enforced: vec![judged(&long, &names, None); 50],
            audited: Vec::new(),
            valid_until: None,
            trust_roots: [].into(),
        });
        let call = Args {
            digest: long.clone(),
            ..args(&long)
        };
        for record in records(&call, &answer, Duration::MAX, Timestamp::now()) {
            let line = record.to_line();
            assert!(line.len() <= MAX_RECORD, "{nasty:?}: {}", line.len());
            assert_eq!(
                line.iter().position(|&byte| byte == b'\n'),
                Some(line.len() - 1)
            );
            let read: Record = serde_json::from_slice(&line).unwrap();
            assert_eq!(read.verdict, Kind::Refused);
            let shown = [&read.image, &read.digest, &read.line];
            assert!(shown.iter().all(|text| !text.contains(char::is_control)));
        }
    }
}

#[test]
fn the_log_is_bounded_and_lines_stay_whole_under_many_writers() {
    const WRITERS: usize = 16;
    const EACH: usize = 200;
    let root = root();
    let long = Record {
        line: "x".repeat(3000),
        ..sample("many")
    };
    let most = 2 * MAX_FILE;
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    // Where the lock is not to be had, the line may be lost; never mixed.
                    append(root.path(), std::slice::from_ref(&long)).unwrap();
                }
            });
        }
    });
    let size = |name| fs::metadata(path(&root, name)).unwrap().len();
    assert!(size(PREVIOUS) <= MAX_FILE + (WRITERS * MAX_RECORD) as u64);
    assert!(size(CURRENT) + size(PREVIOUS) <= most + (WRITERS * MAX_RECORD) as u64);
    assert!(size(PREVIOUS) > MAX_FILE / 2);
    let (records, others) = read(root.path());
    assert!(records.iter().all(|record| *record == long));
    assert_eq!(others, 0);
    assert_eq!(fs::read_dir(path(&root, "")).unwrap().count(), 2);
}

#[test]
fn a_log_that_was_tampered_with_is_not_written() {
    let root = root();
    let other = root.path().join("other");
    fs::write(&other, "").unwrap();
    fs::create_dir(path(&root, "")).unwrap();
    symlink(&other, path(&root, CURRENT)).unwrap();
    let error = append(root.path(), &[sample("one")]).unwrap_err();
    assert!(matches!(error, StateError::NotAFile(_)), "{error}");
    assert_eq!(fs::read(&other).unwrap(), b"");
}

#[test]
fn without_a_state_folder_nothing_is_written_and_nothing_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    let error = append(root.path(), &[sample("one")]).unwrap_err();
    assert!(matches!(error, StateError::Absent(_)), "{error}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_pull_has_a_bounded_number_of_lines() {
    let root = root();
    append(root.path(), &vec![sample("many"); 1000]).unwrap();
    assert_eq!(read(root.path()).0.len(), MAX_RECORDS);
}

#[test]
fn a_line_that_a_full_disk_cut_spoils_no_other() {
    let root = root();
    append(root.path(), &[sample("one")]).unwrap();
    let file = fs::File::options().append(true).open(path(&root, CURRENT));
    write!(file.unwrap(), "{{\"time\":").unwrap();
    append(root.path(), &[sample("two")]).unwrap();
    let (records, others) = read(root.path());
    let images: Vec<&str> = records.iter().map(|record| record.image.as_str()).collect();
    assert_eq!((images, others), (vec!["one", "two"], 1));
}

#[test]
fn a_full_file_is_put_aside_and_the_one_before_it_goes() {
    let root = root();
    for image in ["one", "two", "three"] {
        append(root.path(), &[sample(image)]).unwrap();
        let file = fs::File::options().write(true).open(path(&root, CURRENT));
        file.unwrap().set_len(MAX_FILE).unwrap();
    }
    let begins = |name, image: &str| {
        let text = fs::read_to_string(path(&root, name)).unwrap();
        text.lines().next().unwrap().contains(image)
    };
    assert!(begins(PREVIOUS, "two") && begins(CURRENT, "three"));
}

#[test]
fn the_agent_reads_where_the_verifier_writes_and_knows_its_reasons() {
    assert_eq!(DIR, format!("{STATE_DIR}/{FOLDER}"));
    assert_eq!(REASONS, Reason::ALL.map(Reason::as_str));
}
