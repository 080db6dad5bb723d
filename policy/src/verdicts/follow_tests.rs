use std::convert::Infallible;

use jiff::Timestamp;

use super::*;
use crate::verdicts::Kind;

/// A file of the log, in memory.
#[derive(Clone)]
struct Memory {
    id: FileId,
    bytes: Vec<u8>,
}

impl LogFile for &Memory {
    type Error = Infallible;

    fn id(&self) -> &FileId {
        &self.id
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, limit: usize) -> Result<Vec<u8>, Infallible> {
        let offset = usize::try_from(offset).unwrap();
        let rest = self.bytes.get(offset..).unwrap_or_default();
        Ok(rest[..rest.len().min(limit)].to_vec())
    }
}

fn line(image: &str) -> Vec<u8> {
    let record = Record {
        time: Timestamp::UNIX_EPOCH,
        image: image.to_owned(),
        digest: "sha256:0".to_owned(),
        verdict: Kind::Allowed,
        reason: None,
        policies: Vec::new(),
        authorities: Vec::new(),
        duration_ms: 1,
        cached: false,
        line: String::new(),
    };
    record.to_line()
}

fn file(inode: u64, images: &[&str]) -> Memory {
    let bytes: Vec<u8> = images.iter().flat_map(|image| line(image)).collect();
    let head = Digest::of(&bytes[..HEAD.min(bytes.len())]);
    let id = FileId { inode, head };
    Memory { id, bytes }
}

impl Memory {
    fn add(&mut self, image: &str) {
        self.bytes.extend(line(image));
    }
}

/// Everything that is there, the lines of an earlier run marked with `=`, and whether some are missing.
fn all(
    follower: &mut Follower,
    current: Option<&Memory>,
    previous: Option<&Memory>,
) -> (Vec<String>, bool) {
    let (mut images, mut gap) = (Vec::new(), false);
    loop {
        let Ok(batch) = follower.next(current, previous);
        let mark = if batch.again { "=" } else { "" };
        let records = batch.records.iter();
        images.extend(records.map(|record| format!("{mark}{}", record.image)));
        gap |= batch.gap;
        if !batch.more {
            assert!(batch.records.is_empty());
            return (images, gap);
        }
    }
}

fn lines(images: &[&str], gap: bool) -> (Vec<String>, bool) {
    (images.iter().map(|&image| image.to_owned()).collect(), gap)
}

#[test]
fn every_line_comes_once_and_in_order() {
    let mut follower = Follower::new();
    assert_eq!(all(&mut follower, None, None), lines(&[], false));
    let previous = file(1, &["a", "b"]);
    let mut current = file(2, &["c"]);
    let got = all(&mut follower, Some(&current), Some(&previous));
    assert_eq!(got, lines(&["a", "b", "c"], false));
    current.add("d");
    let got = all(&mut follower, Some(&current), Some(&previous));
    assert_eq!(got, lines(&["d"], false));
    current.add("e");
    let newer = file(3, &["f"]);
    let got = all(&mut follower, Some(&newer), Some(&current));
    assert_eq!(got, lines(&["e", "f"], false));
}

#[test]
fn between_renaming_and_the_next_line_the_old_file_goes_on() {
    let mut follower = Follower::new();
    let mut old = file(1, &["a"]);
    all(&mut follower, Some(&old), None);
    old.add("b");
    // Opened before the renaming and after it: under both names.
    let got = all(&mut follower, Some(&old), Some(&old));
    assert_eq!(got, lines(&["b"], false));
    old.add("c");
    assert_eq!(all(&mut follower, None, Some(&old)), lines(&["c"], false));
    let newer = file(2, &["d"]);
    let got = all(&mut follower, Some(&newer), Some(&old));
    assert_eq!(got, lines(&["d"], false));
}

#[test]
fn an_unfinished_line_waits_for_its_end() {
    let mut follower = Follower::new();
    let mut current = file(1, &["a", "b"]);
    let rest = current.bytes.split_off(line("a").len() + 20);
    let got = all(&mut follower, Some(&current), None);
    assert_eq!(got, lines(&["a"], false));
    current.bytes.extend(rest);
    let got = all(&mut follower, Some(&current), None);
    assert_eq!(got, lines(&["b"], false));
}

#[test]
fn lines_that_do_not_parse_are_counted_and_cost_no_other() {
    let mut current = file(1, &["a"]);
    current.bytes.extend(b"{}\n\n\0\nnull\n");
    current.add("b");
    let Ok(batch) = Follower::new().next(Some(&current), None);
    assert_eq!((batch.records.len(), batch.skipped), (2, 3));
}

#[test]
fn a_renaming_too_many_is_a_gap() {
    let mut follower = Follower::new();
    all(&mut follower, Some(&file(1, &["a"])), None);
    let got = all(
        &mut follower,
        Some(&file(3, &["c"])),
        Some(&file(2, &["b"])),
    );
    assert_eq!(got, lines(&["b", "c"], true));
    // The folder was removed, and a new log has begun.
    assert_eq!(all(&mut follower, None, None), lines(&[], false));
    let got = all(&mut follower, Some(&file(3, &["x"])), None);
    assert_eq!(got, lines(&["x"], true));
}

#[test]
fn a_file_that_was_cut_short_is_a_gap_and_gives_no_line_twice() {
    let mut follower = Follower::new();
    let whole = file(1, &["a", "b", "c"]);
    all(&mut follower, Some(&whole), None);
    let mut short = whole.clone();
    short.bytes.truncate(line("a").len());
    let got = all(&mut follower, Some(&short), None);
    assert_eq!(got, lines(&[], true));
    short.add("d");
    let got = all(&mut follower, Some(&short), None);
    assert_eq!(got, lines(&["d"], false));
    // Cut and grown past the place between two looks: no line begins there any more.
    let mut other = whole.clone();
    other.bytes.truncate(line("a").len());
    other.add("a longer name than the others have");
    other.add("e");
    let got = all(&mut follower, Some(&other), None);
    assert_eq!(got, lines(&["e"], true));
}

#[test]
fn what_an_earlier_run_gave_out_is_marked() {
    let previous = file(1, &["a", "b"]);
    let mut current = file(2, &["c"]);
    let mut first = Follower::new();
    all(&mut first, Some(&current), Some(&previous));
    let position = first.position().unwrap().clone();
    current.add("d");
    let mut next = Follower::resume(position.clone());
    assert_eq!(next.position(), Some(&position));
    let got = all(&mut next, Some(&current), Some(&previous));
    assert_eq!(got, lines(&["=a", "=b", "=c", "d"], false));
    assert!(next.position().unwrap().offset > position.offset);

    // Renamed while nobody read.
    let newer = file(3, &["e"]);
    let got = all(
        &mut Follower::resume(position.clone()),
        Some(&newer),
        Some(&current),
    );
    assert_eq!(got, lines(&["=c", "d", "e"], false));
    // Renamed twice: what there is is new, and some is missing.
    let newest = file(4, &["f"]);
    let got = all(
        &mut Follower::resume(position.clone()),
        Some(&newest),
        Some(&newer),
    );
    assert_eq!(got, lines(&["e", "f"], true));
    // The file was cut short: no more than its rest is marked.
    let mut short = current.clone();
    short.bytes.truncate(10);
    let mut next = Follower::resume(position);
    let got = all(&mut next, Some(&short), Some(&previous));
    assert_eq!(got, lines(&["=a", "=b"], true));
    short.bytes.push(b'\n');
    short.add("g");
    let got = all(&mut next, Some(&short), Some(&previous));
    assert_eq!(got, lines(&["g"], false));
}

#[test]
fn a_renaming_amid_the_lines_of_an_earlier_run_counts_none_twice() {
    let old = file(1, &["a"]);
    let mut current = file(2, &["b"]);
    let mut first = Follower::new();
    all(&mut first, Some(&current), Some(&old));
    let mut next = Follower::resume(first.position().unwrap().clone());
    let Ok(batch) = next.next(Some(&current), Some(&old));
    assert!(batch.again && batch.records.len() == 1);
    current.add("c");
    let newer = file(3, &["d"]);
    // The place is gone with its file, and says so; what was given out is known all the same.
    let got = all(&mut next, Some(&newer), Some(&current));
    assert_eq!(got, lines(&["=b", "c", "d"], true));
}

#[test]
fn a_large_log_comes_in_bounded_pieces() {
    let long = "x".repeat(3000);
    let current = file(1, &vec![long.as_str(); 300]);
    let mut follower = Follower::new();
    let mut count = 0;
    loop {
        let Ok(batch) = follower.next(Some(&current), None);
        if !batch.more {
            break;
        }
        assert!(batch.records.len() <= CHUNK / 3000);
        assert_eq!(batch.skipped, 0);
        count += batch.records.len();
    }
    assert_eq!(count, 300);
}

#[test]
fn what_is_no_log_is_read_past_and_never_beyond_a_bound() {
    let mut current = file(1, &["a"]);
    let huge = usize::try_from(MAX_READ).unwrap() * 2;
    current.bytes.resize(huge, 0);
    let mut follower = Follower::new();
    let (images, _) = all(&mut follower, Some(&current), None);
    assert_eq!(images, ["a"]);
    assert_eq!(follower.position().unwrap().offset, MAX_READ);
    let newer = file(2, &["b"]);
    let (images, _) = all(&mut follower, Some(&newer), Some(&current));
    assert_eq!(images, ["b"]);
}
