//! Warnings about policies and the configuration.

use crds::advice::Advice;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::matters::{Item, MOST_ITEMS, Matter, Matters};
use super::{NoticeKind, Subject, Topic};
use crate::index::Index;

const ADVICE: &str = "The condition Accepted says what to do about each; `nodeseal validate` finds \
                      them before they are applied";

impl Index {
    /// Everything that there is to know about what is valid.
    pub(super) fn advised(&self) -> Matters {
        let mut matters = Matters::new();
        let kind = NoticeKind::PolicyWarning;
        for (id, all) in self.advices.iter() {
            let conditions = self.policy(id).map(|object| &object.status.conditions[..]);
            let subject = Subject::Policy(id.clone());
            let matter = matter(all, conditions.unwrap_or_default());
            matters.insert(Topic { subject, kind }, matter);
        }
        if let Some(object) = self.configs.get(&())
            && !self.config.advice.is_empty()
        {
            let subject = Subject::Config;
            let matter = matter(&self.config.advice, &object.status.conditions);
            matters.insert(Topic { subject, kind }, matter);
        }
        matters
    }
}

fn matter(all: &[Advice], conditions: &[Condition]) -> Matter {
    let accepted = conditions.iter().find(|known| known.type_ == "Accepted");
    let said = accepted.map_or("", |accepted| accepted.message.as_str());
    let items = all.iter().take(MOST_ITEMS).map(|advice| {
        let words = format!("{} at {}", advice.word, advice.field);
        // What a status says that was written before this process began was told when it was.
        let since = said.contains(&words).then_some(Timestamp::MIN);
        let key = format!("{words} {}", advice.message);
        (key, Item { words, since })
    });
    let (count, plural) = (all.len(), if all.len() == 1 { "" } else { "s" });
    Matter {
        head: format!("it is valid, with {count} warning{plural}"),
        items: items.collect(),
        count,
        advice: ADVICE,
    }
}
