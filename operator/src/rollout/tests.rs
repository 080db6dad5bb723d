//! Single rules.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;

const BUNDLE: &str = "sha256-a";

#[test]
fn a_record_is_read_as_it_was_written_and_anything_else_is_none() {
    let now: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
    let mut record = Record::new(BUNDLE, Some("sha256-b"), Weight::Full, now);
    record.failed = Some(Mark {
        target: "core-1".to_owned(),
        reason: "WriteFailed".to_owned(),
        retry: Some("7".to_owned()),
    });
    let text = record.to_text();
    assert_eq!(Record::parse(&text, BUNDLE), Some(record));
    let foreign = [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        text.replace("\"v\":1", "\"v\":2"),
        text.replace("\"v\":1", "\"v\":1,\"more\":true"),
        text.replace("full", "fuller"),
        format!("{text}{}", " ".repeat(10_000)),
    ];
    for text in foreign {
        assert_eq!(Record::parse(&text, BUNDLE), None, "{text}");
    }
    assert_eq!(
        Record::parse(&text, "sha256-else"),
        None,
        "about another bundle"
    );
}

#[test]
fn the_breaker_needs_three_and_more_than_half() {
    let trips = |there: usize, gone: usize| {
        let names: Vec<String> = (0..there + gone).map(|n| format!("p{n:02}")).collect();
        let enforced: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let is_there = |name: &str| names.iter().position(|n| n == name) < Some(there);
        vanished(&enforced, is_there, &BTreeSet::from(["uid"]))
    };
    assert_eq!(trips(0, 2), None);
    assert_eq!(trips(3, 3), None);
    assert_eq!(trips(0, 0), None);
    let all = trips(0, 3).unwrap();
    assert_eq!((all.names.len(), all.of, all.token.len()), (3, 3, 12));
    assert_ne!(trips(2, 3).unwrap().token, all.token);
    let names = BTreeSet::from(["p00", "p01", "p02"]);
    let again = vanished(&names, |_| false, &BTreeSet::from(["another"])).unwrap();
    assert_ne!(again.token, all.token, "it is confirmed anew");
}
