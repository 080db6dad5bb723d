//! The same input in other orders.

use anyhow::Result;
use crds::load::Source;
use serde_json::Value;

/// The same documents in one file: backwards, and shuffled in a few ways.
pub(crate) fn of_documents(sources: &[Source]) -> Vec<Vec<Source>> {
    let documents = documents(sources);
    let mut backwards = documents.clone();
    backwards.reverse();
    let shuffled = (1..=3).map(|seed| shuffle(documents.clone(), seed));
    let orders = std::iter::once(backwards).chain(shuffled);
    orders.map(|documents| vec![joined(&documents)]).collect()
}

/// The same documents with everything that is a set by its type backwards: scopes, excludes and
/// exemptions. Authorities and identities are lists, whose order a policy keeps.
pub(crate) fn of_sets(sources: &[Source]) -> Result<Vec<Source>> {
    let mut turned = Vec::new();
    for document in documents(sources) {
        // What is no YAML stays what it is.
        let Ok(mut value) = serde_saphyr::from_str::<Value>(&document) else {
            turned.push(document);
            continue;
        };
        for pointer in ["/spec/scopes", "/spec/exclude", "/spec/exemptImages"] {
            let list = value.pointer_mut(pointer).and_then(Value::as_array_mut);
            if let Some(list) = list {
                list.reverse();
            }
        }
        turned.push(serde_json::to_string(&value)?);
    }
    Ok(vec![joined(&turned)])
}

fn documents(sources: &[Source]) -> Vec<String> {
    let texts = sources.iter().map(|source| source.text.as_str());
    texts
        .flat_map(|text| text.split("\n---\n"))
        .map(str::to_owned)
        .collect()
}

fn joined(documents: &[String]) -> Source {
    Source {
        name: "policies.yaml".to_owned(),
        text: documents.join("\n---\n"),
    }
}

/// Fisher and Yates, by the numbers of Park and Miller: the same for the same seed.
fn shuffle<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        state = state * 48_271 % 2_147_483_647;
        let at = usize::try_from(state).unwrap_or_default() % (last + 1);
        items.swap(last, at);
    }
    items
}
