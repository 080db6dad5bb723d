//! The table of rights in the documentation is that of `config/base`.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::manifests::{accounts, base, grants};

type Row = (String, String, String, String, String);

fn documented(text: &str) -> BTreeSet<Row> {
    let mut rows = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, account, group, resource, verbs, only, why, _] = cells[..] else {
            continue;
        };
        if account == "account" {
            continue;
        }
        assert!(!why.is_empty(), "{line}: why?");
        let row = |verb: &str| {
            let cells = [account, group, resource, verb.trim(), only];
            cells.map(str::to_owned).into()
        };
        rows.extend(verbs.split(',').map(row));
    }
    rows
}

#[test]
fn the_table_of_rights_is_that_of_the_manifests() -> Result<()> {
    let path = xtask::cache::workspace().join("docs/privileges.md");
    let told = documented(&std::fs::read_to_string(path)?);
    let base = base()?;
    let mut given = BTreeSet::new();
    for account in accounts(&base) {
        let name = account.trim_start_matches("nodeseal-system:nodeseal-");
        given.extend(grants(&base, &account).into_iter().map(|grant| {
            let only = grant.name.unwrap_or_default();
            let name = name.to_owned();
            (name, grant.group, grant.resource, grant.verb, only)
        }));
    }
    let missing: Vec<_> = given.difference(&told).collect();
    let invented: Vec<_> = told.difference(&given).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "docs/privileges.md lacks {missing:#?} and invents {invented:#?}"
    );
    assert!(told.len() > 30, "{}", told.len());
    Ok(())
}
