//! Our strict reader of policy.json against the one that CRI-O has: what ours takes, CRI-O takes,
//! or a file that was written for it fails every pull; and what CRI-O takes and ours does not is
//! one of the few things that `policy::crio::document` names.

mod generate;
mod normal;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use e2e::Judge;
use e2e::judge::Policy;
use fuzz_harness::{Mutator, seeds, target};
use policy::crio::document::PolicyJson;

use crate::generate::document;
use crate::normal::{strays_removed, why_refused};

/// Documents of each kind.
const COUNT: usize = 6_000;
const COUNT_FULL: usize = 100_000;
const CHUNK: usize = 1_000;

/// How documents come about.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// Stored ones with changed bytes and words.
    Mutated,
    /// Drawn from the format, about half of them with something wrong.
    Drawn,
    /// Drawn, and then changed.
    Both,
}

/// How many documents came to what.
#[derive(Debug, Default)]
struct Count {
    accepted: usize,
    refused: usize,
    /// Accepted by CRI-O alone, by what ours refuses.
    stricter: BTreeMap<String, usize>,
    /// Accepted by ours alone, for what [`strays_removed`] removes.
    strays: usize,
}

#[test]
fn what_our_reader_takes_crio_takes_and_what_it_refuses_is_named() -> Result<()> {
    let full = std::env::var_os("NODESEAL_FULL").is_some_and(|value| !value.is_empty());
    let count = if full { COUNT_FULL } else { COUNT };
    let mut judge = Judge::start()?;
    let stored = seeds("policy_json");
    let mut named = BTreeMap::new();
    for (number, source) in (2..).zip([Source::Mutated, Source::Drawn, Source::Both]) {
        let mut mutator = Mutator::new(number, &stored, target("policy_json").words);
        let mut all = Count::default();
        let mut left = count;
        while left > 0 {
            let chunk: Vec<Vec<u8>> = (0..left.min(CHUNK))
                .map(|_| match source {
                    Source::Mutated => mutator.next_input(),
                    Source::Drawn => document(&mut mutator),
                    Source::Both => {
                        let drawn = document(&mut mutator);
                        mutator.changed(drawn)
                    }
                })
                .collect();
            left -= chunk.len();
            compare(&mut judge, &chunk, &mut all)?;
        }
        println!("{source:?}, {count} documents: {all:?}");
        let share = all.accepted * 100 / count;
        let least = match source {
            Source::Mutated => 3,
            Source::Drawn => 30,
            Source::Both => 2,
        };
        assert!(share >= least, "both take {share} % of them");
        assert!(
            all.refused * 100 >= count * 10,
            "nearly everything is taken"
        );
        named.extend(all.stricter);
    }
    // Each of these was met, so that the list says what is true.
    for class in normal::CLASSES {
        let met = named.keys().any(|classes| classes.contains(class));
        assert!(met, "no document shows that ours refuses {class}");
    }
    Ok(())
}

fn compare(judge: &mut Judge, documents: &[Vec<u8>], count: &mut Count) -> Result<()> {
    let policies: Vec<Policy> = documents.iter().cloned().map(Policy::from).collect();
    let theirs = judge.parse_all(&policies)?;
    for (document, theirs) in documents.iter().zip(theirs) {
        let text = String::from_utf8_lossy(document);
        match (PolicyJson::parse(document), theirs) {
            (Ok(_), Ok(())) => count.accepted += 1,
            (Err(_), Err(_)) => count.refused += 1,
            (Ok(ours), Err(why)) => {
                let without = Policy::from(strays_removed(ours)?);
                if let [Err(_)] = judge.parse_all(&[without])?[..] {
                    bail!("ours takes what CRI-O refuses ({why}):\n{text}");
                }
                count.strays += 1;
            }
            (Err(why), Ok(())) => match why_refused(document) {
                Some(classes) => *count.stricter.entry(classes).or_default() += 1,
                None => bail!("ours refuses what CRI-O takes, and nobody says so ({why}):\n{text}"),
            },
        }
    }
    Ok(())
}
