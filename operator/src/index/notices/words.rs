//! What a notice says.

use std::collections::BTreeSet;

use policy::text::is_deceptive;

use super::matters::Matter;

/// The most bytes of a note, as the API server has it.
pub(crate) const MOST_BYTES: usize = 1024;
/// The most things that are named.
const MOST_NAMED: usize = 5;
/// The most characters of one of them.
const MOST_CHARACTERS: usize = 200;

/// What is the case, what is new first.
pub(crate) fn note(matter: &Matter, new: &[String]) -> String {
    let is_new: BTreeSet<&String> = new.iter().collect();
    let (first, then): (Vec<_>, Vec<_>) = matter
        .items
        .iter()
        .partition(|(key, _)| is_new.contains(key));
    let all = first.into_iter().chain(then);
    let named: Vec<String> = all
        .take(MOST_NAMED)
        .map(|(_, item)| cut(&item.words, MOST_CHARACTERS))
        .collect();
    let more = match matter.count.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let tail = format!(". {}", matter.advice);
    let said = format!("{}: {}{more}", matter.head, named.join(", "));
    let room = MOST_BYTES.saturating_sub(tail.len());
    format!("{}{tail}", cut_bytes(&said, room))
}

/// `on NODE`, or on how many.
pub(crate) fn on(nodes: &BTreeSet<&str>) -> String {
    match nodes.first() {
        Some(node) if nodes.len() == 1 => format!("on {node}"),
        _ => format!("on {} nodes", nodes.len()),
    }
}

/// The words with nothing in them that moves a terminal's cursor or reorders the line.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| if is_deceptive(c) { ' ' } else { c };
    text.chars().map(shown).collect()
}

fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

fn cut_bytes(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let room = bytes.saturating_sub('…'.len_utf8());
    let mut end = room;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}
