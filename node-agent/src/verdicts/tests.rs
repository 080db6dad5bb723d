use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use policy::verdicts::{CURRENT, DIR, Kind, MAX_FILE, PREVIOUS};

use super::*;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// An image that one policy let in.
pub(super) fn record(image: &str) -> Record {
    Record {
        time: NOW,
        image: image.to_owned(),
        digest: policy::digest::Digest::of(image.as_bytes()).to_string(),
        verdict: Kind::Allowed,
        reason: None,
        policies: vec!["p".to_owned()],
        authorities: vec!["a".to_owned()],
        duration_ms: 1,
        cached: false,
        line: "nodeseal: allowed".to_owned(),
    }
}

struct Node {
    dir: tempfile::TempDir,
    root: Root,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_dirs(DIR, 0o700).unwrap();
        Self { dir, root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(DIR).join(name)
    }

    fn write(&self, bytes: &[u8]) {
        let path = self.path(CURRENT);
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(bytes).unwrap();
    }

    fn add(&self, image: &str) {
        self.write(&record(image).to_line());
    }

    fn rename(&self) {
        fs::rename(self.path(CURRENT), self.path(PREVIOUS)).unwrap();
    }

    fn open(&self) -> Verdicts {
        Verdicts::open(&self.root, NOW)
    }

    /// The images of the lines that are counted, and whether some are missing.
    fn read(&self, verdicts: &mut Verdicts) -> (Vec<String>, bool) {
        let mut images = Vec::new();
        let progress = verdicts
            .read(&self.root, NOW, |record| images.push(record.image.clone()))
            .unwrap();
        assert_eq!(progress.counted, images.len() as u64);
        (images, progress.gap)
    }
}

fn lines(images: &[&str], gap: bool) -> (Vec<String>, bool) {
    (images.iter().map(|&image| image.to_owned()).collect(), gap)
}

#[test]
fn a_log_that_is_not_there_is_empty_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let mut verdicts = Verdicts::open(&root, NOW);
    let progress = verdicts.read(&root, NOW, |_| panic!("no line")).unwrap();
    assert_eq!(progress, Progress::default());
    verdicts.save(&root, NOW).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn every_line_is_counted_once_through_renamings() {
    let node = Node::new();
    let mut verdicts = node.open();
    node.add("one");
    node.add("two");
    assert_eq!(node.read(&mut verdicts), lines(&["one", "two"], false));
    assert_eq!(node.read(&mut verdicts), lines(&[], false));
    node.add("three");
    node.rename();
    node.add("four");
    assert_eq!(node.read(&mut verdicts), lines(&["three", "four"], false));
    for image in ["five", "six"] {
        node.rename();
        node.add(image);
    }
    assert_eq!(node.read(&mut verdicts), lines(&["five", "six"], true));
}

#[test]
fn a_later_agent_counts_what_was_written_since_and_nothing_twice() {
    let node = Node::new();
    node.add("one");
    let mut first = node.open();
    assert_eq!(node.read(&mut first), lines(&["one"], false));
    first.save(&node.root, NOW).unwrap();
    // No agent runs.
    node.add("two");
    node.rename();
    node.add("three");
    let mut next = node.open();
    assert_eq!(node.read(&mut next), lines(&["two", "three"], false));
    next.save(&node.root, NOW).unwrap();
    assert_eq!(node.read(&mut node.open()), lines(&[], false));
}

#[test]
fn an_agent_that_was_killed_loses_no_line() {
    let node = Node::new();
    node.add("one");
    assert_eq!(node.read(&mut node.open()), lines(&["one"], false));
    // Nothing was saved: its counters are gone as well.
    assert_eq!(node.read(&mut node.open()), lines(&["one"], false));
}

#[test]
fn the_place_is_saved_from_time_to_time() {
    let node = Node::new();
    let mut verdicts = node.open();
    node.add("one");
    let mut read = |seconds| {
        let now = NOW + SignedDuration::from_secs(seconds);
        verdicts.read(&node.root, now, |_| {}).unwrap();
        node.root.exists(PLACE).unwrap()
    };
    assert!(!read(9));
    assert!(read(10));
    fs::remove_file(node.dir.path().join(PLACE)).unwrap();
    assert!(!read(100), "there is nothing new");
    node.add("two");
    assert!(read(1), "the clock went back");
}

#[test]
fn refusals_before_a_restart_are_still_shown_after_it() {
    let node = Node::new();
    let refused = Record {
        verdict: Kind::Refused,
        reason: Some("NoSignature".to_owned()),
        ..record("example.com/bad:1")
    };
    node.write(&refused.to_line());
    let mut first = node.open();
    node.read(&mut first);
    first.save(&node.root, NOW).unwrap();
    let mut next = node.open();
    assert_eq!(node.read(&mut next), lines(&[], false));
    let pair = ("example.com/bad:1".to_owned(), "NoSignature".to_owned());
    assert_eq!(next.refused(NOW).pairs, [pair]);
}

#[test]
fn what_was_let_in_is_known_long_after_its_line_is_gone() {
    let node = Node::new();
    node.add("example.com/a:1");
    let mut first = node.open();
    node.read(&mut first);
    first.save(&node.root, NOW).unwrap();
    fs::remove_dir_all(node.path("")).unwrap();
    let settings = policy::bundle::Settings::default();
    let policies = [crate::testing::policy("p", "example.com")];
    let bundle = policy::bundle::Bundle::new(settings, policies);
    let flat = policy::flatten::flatten(&bundle, &policy::flatten::NodeFacts::default());
    let digests = |image: &str| vec![format!("example.com/a@{}", record(image).digest)];
    let (pulled, other) = (digests("example.com/a:1"), digests("example.com/a:2"));
    let images = [&pulled, &other].map(|digests| OnNode { tags: &[], digests });
    let found = node.open().unverified(images, &flat);
    assert_eq!(found.names, other);
    let mode = node.root.read(SEEN, 1000).unwrap().unwrap().mode;
    assert_eq!(mode, 0o600);
}

#[test]
fn damaged_files_of_the_agent_stand_for_nothing() {
    let node = Node::new();
    node.add("one");
    for path in [PLACE, SEEN] {
        fs::write(node.dir.path().join(path), "{\"version\":").unwrap();
    }
    let mut verdicts = node.open();
    assert_eq!(node.read(&mut verdicts), lines(&["one"], false));
    verdicts.save(&node.root, NOW).unwrap();
    assert_eq!(node.read(&mut node.open()), lines(&[], false));
}

#[test]
fn lines_that_do_not_parse_are_told_and_cost_no_other() {
    let node = Node::new();
    node.add("one");
    node.write(b"{\"verdict\":\"postponed\"}\n\n\0\nnull\n{\"time\":");
    let mut verdicts = node.open();
    let progress = verdicts.read(&node.root, NOW, |_| {}).unwrap();
    assert_eq!((progress.counted, progress.skipped), (1, 3));
    // The verifier ends a line that the disk was too full for.
    node.write(b"\n");
    node.add("two");
    let progress = verdicts.read(&node.root, NOW, |_| {}).unwrap();
    assert_eq!((progress.counted, progress.skipped), (1, 1));
}

#[test]
fn a_link_or_a_folder_in_place_of_the_log_is_an_error_by_name() {
    let node = Node::new();
    let other = node.dir.path().join("other");
    fs::write(&other, record("one").to_line()).unwrap();
    symlink(&other, node.path(CURRENT)).unwrap();
    let mut verdicts = node.open();
    let error = verdicts.read(&node.root, NOW, |_| panic!("not through a link"));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("current.jsonl is a symbolic link"), "{text}");
    fs::remove_file(node.path(CURRENT)).unwrap();
    fs::create_dir(node.path(PREVIOUS)).unwrap();
    let error = verdicts.read(&node.root, NOW, |_| panic!("no file"));
    assert!(error.unwrap_err().is_foreign());
    fs::remove_dir(node.path(PREVIOUS)).unwrap();
    node.add("two");
    assert_eq!(node.read(&mut verdicts), lines(&["two"], false));
}

#[test]
fn a_foreign_file_in_place_of_the_log_is_read_past() {
    let node = Node::new();
    let mut verdicts = node.open();
    node.add("one");
    node.read(&mut verdicts);
    let file = fs::File::options()
        .write(true)
        .open(node.path(CURRENT))
        .unwrap();
    file.set_len(10 * MAX_FILE).unwrap();
    assert_eq!(node.read(&mut verdicts).0, [""; 0]);
    node.rename();
    node.add("two");
    assert_eq!(node.read(&mut verdicts).0, ["two"]);
}

#[test]
fn lines_of_another_process_come_whole_and_once_while_the_log_is_renamed() {
    const LINES: usize = 2000;
    let node = Node::new();
    let mut verdicts = node.open();
    let mut count = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..LINES {
                // As the verifier does at 1 MiB, and no more often than somebody reads.
                if number == LINES / 2 {
                    node.rename();
                }
                node.add(&format!("image-{number}"));
            }
        });
        loop {
            let done = writer.is_finished();
            let (images, gap) = node.read(&mut verdicts);
            assert!(!gap);
            for image in images {
                assert_eq!(image, format!("image-{count}"));
                count += 1;
            }
            if done {
                break;
            }
        }
    });
    assert_eq!(count, LINES);
}
