//! What rendering left out or has to say, for people.

use std::collections::BTreeMap;

use policy::files::Diagnostic;
use policy::problem::Reason;

use crate::output::{Paint, Style, warn_line};

/// The most policies that a line names.
const MAX_NAMED: usize = 5;

/// What this runtime does not do.
pub(super) fn diagnostics(diagnostics: &[Diagnostic]) {
    for line in lines(diagnostics) {
        warn_line(line);
    }
}

/// What to know where it does.
pub(super) fn warnings(warnings: &[Diagnostic]) {
    let paint = Paint::stderr();
    for line in lines(warnings) {
        warn_line(paint.apply(Style::Dim, format_args!("warning: {line}")));
    }
}

/// About a runtime as a whole.
pub(super) fn notes(notes: &[String]) {
    let word = Paint::stderr().apply(Style::Cyan, "note:");
    for note in notes {
        warn_line(format_args!("{word} {note}"));
    }
}

/// Most policies share most of what is to be said: a line names all that it is about.
fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    type Said<'a> = (Reason, Option<&'a str>, &'a str, &'a str);
    let mut about: BTreeMap<Said<'_>, Vec<String>> = BTreeMap::new();
    let mut order: Vec<Said<'_>> = Vec::new();
    for it in diagnostics {
        let said = (
            it.reason,
            it.authority.as_deref(),
            it.field.as_str(),
            it.message.as_str(),
        );
        let namespace = it
            .namespace
            .as_ref()
            .map(|ns| format!("{ns}/"))
            .unwrap_or_default();
        let policies = about.entry(said).or_default();
        if policies.is_empty() {
            order.push(said);
        }
        policies.push(format!("{namespace}{}", it.policy));
    }
    order
        .into_iter()
        .map(|said| {
            let (reason, authority, field, message) = said;
            let place = match (authority, field) {
                (Some(name), "") => format!("authority `{name}`: "),
                (Some(name), field) => format!("authority `{name}`, {field}: "),
                (None, "") => String::new(),
                (None, field) => format!("{field}: "),
            };
            format!("{}: {reason}: {place}{message}", names(&about[&said]))
        })
        .collect()
}

fn names(policies: &[String]) -> String {
    if policies.len() <= MAX_NAMED {
        return policies.join(", ");
    }
    let more = policies.len() - MAX_NAMED;
    format!("{} and {more} more", policies[..MAX_NAMED].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_share_a_message_share_a_line() {
        let of = |policy: &str, authority: Option<&str>, field: &str| Diagnostic {
            policy: policy.to_owned(),
            namespace: (policy == "own").then(|| "team".to_owned()),
            authority: authority.map(str::to_owned),
            field: field.to_owned(),
            reason: Reason::NotExpressible,
            message: "do this".to_owned(),
        };
        let mut all: Vec<Diagnostic> = (0..7).map(|i| of(&format!("p{i}"), None, "mode")).collect();
        all.push(of("own", None, ""));
        all.push(of("p0", Some("ci"), "keyless"));
        all.push(of("p0", Some("ci"), ""));
        assert_eq!(
            lines(&all),
            [
                "p0, p1, p2, p3, p4 and 2 more: NotExpressible: mode: do this",
                "team/own: NotExpressible: do this",
                "p0: NotExpressible: authority `ci`, keyless: do this",
                "p0: NotExpressible: authority `ci`: do this",
            ]
        );
    }
}
