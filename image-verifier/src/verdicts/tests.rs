use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use jiff::Timestamp;
use policy::model::PolicyId;
use policy::paths::STATE_DIR;

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

fn images(batch: &Batch) -> Vec<&str> {
    let records = batch.records.iter();
    records.map(|record| record.image.as_str()).collect()
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
    let records = Record::of(
        &args("nginx"),
        &answer,
        Duration::from_millis(7),
        Timestamp::UNIX_EPOCH,
    );
    let text: Vec<String> = records
        .iter()
        .map(|record| String::from_utf8(record.line()).unwrap())
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
    let records = Record::of(&args("a b\n"), &answer, Duration::ZERO, Timestamp::now());
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
        for record in Record::of(&call, &answer, Duration::MAX, Timestamp::now()) {
            let line = record.line();
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
fn a_reader_gets_every_line_once() {
    let root = root();
    let mut reader = Reader::new(root.path());
    assert_eq!(reader.read().unwrap(), Batch::default());
    append(root.path(), &[sample("one"), sample("two")]).unwrap();
    assert_eq!(images(&reader.read().unwrap()), ["one", "two"]);
    assert_eq!(reader.read().unwrap(), Batch::default());
    append(root.path(), &[sample("three")]).unwrap();
    assert_eq!(images(&reader.read().unwrap()), ["three"]);
}

#[test]
fn a_reader_follows_the_log_through_its_renaming() {
    let root = root();
    let mut reader = Reader::new(root.path());
    append(root.path(), &[sample("one")]).unwrap();
    assert_eq!(images(&reader.read().unwrap()), ["one"]);
    append(root.path(), &[sample("two")]).unwrap();
    fs::rename(path(&root, CURRENT), path(&root, PREVIOUS)).unwrap();
    append(root.path(), &[sample("three")]).unwrap();
    let batch = reader.read().unwrap();
    assert_eq!(images(&batch), ["two", "three"]);
    assert!(!batch.gap);
    fs::rename(path(&root, CURRENT), path(&root, PREVIOUS)).unwrap();
    assert_eq!(reader.read().unwrap(), Batch::default());
    append(root.path(), &[sample("four")]).unwrap();
    assert_eq!(images(&reader.read().unwrap()), ["four"]);
}

#[test]
fn a_reader_that_missed_a_file_says_so() {
    let root = root();
    let mut reader = Reader::new(root.path());
    append(root.path(), &[sample("one")]).unwrap();
    reader.read().unwrap();
    for image in ["two", "three"] {
        fs::rename(path(&root, CURRENT), path(&root, PREVIOUS)).unwrap();
        append(root.path(), &[sample(image)]).unwrap();
    }
    let batch = reader.read().unwrap();
    assert_eq!(images(&batch), ["two", "three"]);
    assert!(batch.gap);
    fs::remove_dir_all(path(&root, "")).unwrap();
    assert_eq!(reader.read().unwrap(), Batch::default());
    append(root.path(), &[sample("four")]).unwrap();
    let batch = reader.read().unwrap();
    assert_eq!(images(&batch), ["four"]);
    assert!(batch.gap);
}

#[test]
fn lines_that_do_not_parse_are_counted_and_cost_no_other() {
    let root = root();
    let mut reader = Reader::new(root.path());
    append(root.path(), &[sample("one")]).unwrap();
    let mut file = fs::File::options()
        .append(true)
        .open(path(&root, CURRENT))
        .unwrap();
    let newer = serde_json::json!({"verdict": "postponed"});
    // The last one was cut by a full disk.
    write!(file, "{newer}\n\n\u{0}\nnull\n{{\"time\":").unwrap();
    let batch = reader.read().unwrap();
    assert_eq!((images(&batch), batch.skipped), (vec!["one"], 3));
    append(root.path(), &[sample("two")]).unwrap();
    let batch = reader.read().unwrap();
    assert_eq!((images(&batch), batch.skipped), (vec!["two"], 1));
}

#[test]
fn fields_that_a_later_version_adds_are_left_aside() {
    let root = root();
    append(root.path(), &[sample("one")]).unwrap();
    let text = fs::read_to_string(path(&root, CURRENT)).unwrap();
    let text = text.replacen('{', r#"{"pod":"x","time2":{"a":1},"#, 1);
    fs::write(path(&root, CURRENT), text).unwrap();
    let batch = Reader::new(root.path()).read().unwrap();
    assert_eq!((images(&batch), batch.skipped), (vec!["one"], 0));
}

#[test]
fn a_foreign_file_in_place_of_the_log_is_read_past_without_end() {
    let root = root();
    let mut reader = Reader::new(root.path());
    append(root.path(), &[sample("one")]).unwrap();
    reader.read().unwrap();
    let file = fs::File::options()
        .write(true)
        .open(path(&root, CURRENT))
        .unwrap();
    file.set_len(10 * MAX_FILE).unwrap();
    let read = (0..10).map(|_| reader.read().unwrap());
    assert!(read.into_iter().all(|batch| batch.records.is_empty()));
    // It is far beyond its limit: put aside.
    append(root.path(), &[sample("two")]).unwrap();
    assert_eq!(images(&reader.read().unwrap()), ["two"]);
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
    let batch = Reader::new(root.path()).read().unwrap();
    assert_eq!(batch.skipped, 0);
    let text = [PREVIOUS, CURRENT].map(|name| fs::read_to_string(path(&root, name)).unwrap());
    let lines = text.iter().flat_map(|text| text.lines());
    // Who sees a line while it is being written takes it for one that was cut.
    let lines = lines.filter(|line| !line.is_empty()).count();
    assert_eq!(batch.records.len(), lines);
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
    assert!(Reader::new(root.path()).read().is_err());
}

#[test]
fn without_a_state_folder_nothing_is_written_and_nothing_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    record(
        root.path().to_owned(),
        vec![sample("one")],
        Duration::from_secs(20),
    );
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    assert_eq!(Reader::new(root.path()).read().unwrap(), Batch::default());
}

#[test]
fn a_pull_has_a_bounded_number_of_lines() {
    let root = root();
    record(
        root.path().to_owned(),
        vec![sample("many"); 1000],
        Duration::from_secs(20),
    );
    let batch = Reader::new(root.path()).read().unwrap();
    assert_eq!(batch.records.len(), MAX_RECORDS);
}
