//! The log of verdicts, as it stands on disk.

use std::convert::Infallible;

use policy::digest::Digest;
use policy::verdicts::{Batch, FileId, Follower, HEAD, LogFile, MAX_RECORD, Record};

/// The file that is being written.
pub(super) const CURRENT: &str = "var/lib/nodeseal/verdicts/current.jsonl";

pub(crate) const WORDS: &[&str] = &[
    "time",
    "image",
    "digest",
    "verdict",
    "allowed",
    "refused",
    "audit",
    "reason",
    "policies",
    "authorities",
    "durationMs",
    "cached",
    "line",
    "2025-06-02T00:00:00Z",
    "-009999-01-01T00:00:00Z",
    "\n",
    "{",
    "}\n",
    "true",
    "null",
    "[]",
    "0",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "\\u0000",
    "\\n",
    "\\ud800",
];

/// The file, in memory.
struct Log<'a> {
    id: FileId,
    bytes: &'a [u8],
}

impl<'a> Log<'a> {
    /// A file without a line yet is none.
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let head = Digest::of(bytes.get(..HEAD)?);
        let id = FileId { inode: 1, head };
        Some(Self { id, bytes })
    }
}

impl LogFile for Log<'_> {
    type Error = Infallible;

    fn id(&self) -> &FileId {
        &self.id
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, limit: usize) -> Result<Vec<u8>, Infallible> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.bytes.get(offset..).unwrap_or_default();
        Ok(rest[..rest.len().min(limit)].to_vec())
    }
}

/// All that is new, whether an earlier run had it or not.
fn read(follower: &mut Follower, data: &[u8]) -> Batch {
    let mut all = Batch::default();
    loop {
        let Ok(batch) = follower.next(Log::open(data), None);
        all.records.extend(batch.records);
        all.skipped += batch.skipped;
        all.gap |= batch.gap;
        if !batch.more {
            return all;
        }
    }
}

/// The content of the file. Every whole line is a record or is counted, whether it is read at once,
/// while it grows, or by one run after another.
#[must_use]
pub fn verdict_log(data: &[u8]) -> bool {
    let mut follower = Follower::new();
    let all = read(&mut follower, data);
    if data.len() < HEAD {
        assert_eq!(all, Batch::default());
        return false;
    }
    let end = data.iter().rposition(|&byte| byte == b'\n');
    let whole = end.map_or(&[][..], |end| &data[..end]);
    let lines = || data.split(|&byte| byte == b'\n');
    let is_bounded = lines().all(|line| line.len() < MAX_RECORD);
    if is_bounded {
        let lines = whole.split(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty()).count() as u64;
        assert_eq!(all.records.len() as u64 + all.skipped, lines);
        assert!(!all.gap);
    }
    for record in &all.records {
        let line = record.to_line();
        let line = line.strip_suffix(b"\n").expect("a whole line");
        assert!(!line.contains(&b'\n'));
        assert_eq!(Record::parse(line).as_ref(), Some(record));
    }

    let position = follower.position().expect("it was read");
    let mut next = Follower::resume(position.clone());
    let again = read(&mut next, data);
    assert_eq!((&again.records, again.skipped), (&all.records, all.skipped));
    assert_eq!(next.position(), Some(position), "and no line is new");

    let cut = data.len() / 2;
    if is_bounded && cut >= HEAD {
        let mut follower = Follower::new();
        let mut grown = read(&mut follower, &data[..cut]);
        let rest = read(&mut follower, data);
        grown.records.extend(rest.records);
        grown.skipped += rest.skipped;
        grown.gap |= rest.gap;
        assert_eq!(grown, all, "read while it grows");
        let more = read(&mut follower, data);
        assert_eq!(more, Batch::default(), "and no line twice");
    }
    !all.records.is_empty()
}
