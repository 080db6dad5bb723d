//! `docs/reasons.md` against the code.

use std::collections::BTreeSet;

use image_verifier::reason::Reason;

#[test]
fn the_documentation_has_a_row_for_each_code_and_for_nothing_else() {
    let text = include_str!("../../docs/reasons.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(str::trim).collect()
        })
        .collect();
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    let documented: BTreeSet<_> = rows
        .iter()
        .map(|row| (row[0].trim_matches('`'), row[1]))
        .collect();
    let class = |reason: &Reason| {
        if reason.is_transient() {
            "transient"
        } else {
            "fatal"
        }
    };
    let known: BTreeSet<_> = Reason::ALL
        .iter()
        .map(|reason| (reason.as_str(), class(reason)))
        .collect();
    assert_eq!(documented, known);
    assert_eq!(rows.len(), Reason::ALL.len(), "a code has two rows");
}
