//! Rules as text: each distinct one once, however often it stands in a file.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;

use crate::crio::document::{Rule, Rules};

/// Which rule of [`Texts`].
pub(super) type Id = usize;

/// `insecureAcceptAnything`.
pub(super) const ACCEPT: Id = 0;
/// `reject`.
pub(super) const REJECT: Id = 1;
/// The spaces before a rule and before a scope of a transport in a policy.json.
const RULE_INDENT: usize = 8;
const SCOPE_INDENT: usize = 6;

/// Distinct rules, as they are written below a scope.
#[derive(Debug)]
pub(super) struct Texts {
    ids: HashMap<Rc<[u8]>, Id>,
    all: Vec<Rc<[u8]>>,
    /// The list that a rule was last put in.
    last: Vec<u64>,
    lists: u64,
}

/// Rules that somebody adds to a list; the number is the one to whom their bytes are counted.
pub(super) type Part<'a> = (Option<usize>, &'a [Id]);

impl Texts {
    pub(super) fn new() -> Self {
        let mut texts = Self {
            ids: HashMap::new(),
            all: Vec::new(),
            last: Vec::new(),
            lists: 0,
        };
        // In the order of the constants.
        texts.ids_of(&[Rule::InsecureAcceptAnything {}, Rule::Reject {}]);
        texts
    }

    pub(super) fn ids_of(&mut self, rules: &[Rule]) -> Vec<Id> {
        rules.iter().map(|rule| self.id(rule)).collect()
    }

    fn id(&mut self, rule: &Rule) -> Id {
        let text: Rc<[u8]> = indented(rule, RULE_INDENT).into();
        let next = self.all.len();
        let id = *self.ids.entry(Rc::clone(&text)).or_insert(next);
        if id == next {
            self.all.push(text);
            self.last.push(0);
        }
        id
    }

    /// The bytes of a rule with its line and comma.
    fn bytes(&self, id: Id) -> usize {
        self.all[id].len() + RULE_INDENT + ",\n".len()
    }

    /// All of these, by the rules of [`Rules::all`]. Each rule is counted to the first who has it.
    pub(super) fn all(&mut self, parts: &[Part<'_>], shares: &mut [usize]) -> Vec<Id> {
        let mut count = |owner: Option<usize>, bytes| {
            if let Some(share) = owner.and_then(|owner| shares.get_mut(owner)) {
                *share += bytes;
            }
        };
        if let Some((owner, _)) = parts.iter().find(|(_, ids)| ids.contains(&REJECT)) {
            count(*owner, self.bytes(REJECT));
            return vec![REJECT];
        }
        self.lists += 1;
        let mut list = Vec::new();
        for &(owner, ids) in parts {
            for &id in ids {
                if id != ACCEPT && self.last[id] != self.lists {
                    self.last[id] = self.lists;
                    list.push(id);
                    count(owner, self.bytes(id));
                }
            }
        }
        if list.is_empty() {
            list.push(ACCEPT);
        }
        list
    }

    /// How many bytes [`Texts::write`] writes.
    pub(super) fn size(&self, scope: &str, rules: &[Id]) -> usize {
        let lines: usize = rules.iter().map(|&id| self.bytes(id)).sum();
        // No comma after the last rule.
        SCOPE_INDENT + name(scope).len() + ": [\n".len() + lines - 1 + SCOPE_INDENT + "]".len()
    }

    /// A scope with its rules.
    pub(super) fn write(&self, scope: &str, rules: &[Id], to: &mut Vec<u8>) {
        to.extend([b' '; SCOPE_INDENT]);
        to.extend(name(scope));
        to.extend(b": [\n");
        for (at, &id) in rules.iter().enumerate() {
            if at > 0 {
                to.extend(b",\n");
            }
            to.extend([b' '; RULE_INDENT]);
            to.extend_from_slice(&self.all[id]);
        }
        to.push(b'\n');
        to.extend([b' '; SCOPE_INDENT]);
        to.push(b']');
    }
}

/// At most the bytes that these rules take below one scope, its name aside.
pub(crate) fn size_below_a_scope(rules: &[Rule]) -> usize {
    let line = |rule| indented(rule, RULE_INDENT).len() + RULE_INDENT + ",\n".len();
    rules.iter().map(line).sum()
}

/// A name as JSON.
pub(super) fn name(text: &str) -> Vec<u8> {
    indented(&text, 0)
}

/// JSON whose lines after the first begin with so many spaces more. Strings hold no line breaks, so
/// this is what it looks like inside a larger document.
pub(super) fn indented(value: &impl Serialize, spaces: usize) -> Vec<u8> {
    // Only maps with other keys than strings could fail; an empty text makes readers refuse all.
    let text = serde_json::to_vec_pretty(value).unwrap_or_default();
    if spaces == 0 {
        return text;
    }
    let indent = vec![b' '; spaces];
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut all = lines.next().unwrap_or_default().to_vec();
    for line in lines {
        all.push(b'\n');
        all.extend_from_slice(&indent);
        all.extend_from_slice(line);
    }
    all
}

/// The ids of lists of rules that belong to a document, each made once.
#[derive(Debug, Default)]
pub(super) struct Lists(HashMap<*const Rules, Rc<[Id]>>);

impl Lists {
    pub(super) fn ids(&mut self, rules: &Rules, texts: &mut Texts) -> Rc<[Id]> {
        let made = self
            .0
            .entry(std::ptr::from_ref(rules))
            .or_insert_with(|| texts.ids_of(rules.as_slice()).into());
        Rc::clone(made)
    }
}
