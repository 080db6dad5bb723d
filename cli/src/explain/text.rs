//! An explanation for people.

use policy::bundle::DefaultAction;
use policy::capability::Limitation;
use policy::explain::{
    Compiled, Coverage, Does, Explanation, OnRuntime, Outcome, Relevant, Verdict,
};
use policy::flatten::Entry;
use policy::model::PolicyId;
use serde_json::Value;

use crate::output::{Paint, Style, count, print_line};

/// The longest text in a rule that is shown whole: keys are in the JSON output.
const MAX_VALUE: usize = 100;

/// Prints it on standard output.
pub(super) fn print(explanation: &Explanation) {
    for line in lines(explanation, Paint::stdout()) {
        print_line(line);
    }
}

fn lines(explanation: &Explanation, paint: Paint) -> Vec<String> {
    let image = paint.apply(Style::Bold, &explanation.image);
    let mut lines = vec![format!("{image} {}", verdict(&explanation.verdict, paint))];
    if let Some(namespace) = &explanation.namespace {
        lines.push(format!("pulled for a pod of the namespace `{namespace}`"));
    }
    lines.push(String::new());
    lines.push("looked up as".to_owned());
    lines.extend(explanation.lookup.iter().map(|name| format!("  {name}")));
    lines.push(String::new());
    policies(&mut lines, explanation, paint);
    for on in &explanation.runtimes {
        lines.push(String::new());
        runtime(&mut lines, on, paint);
    }
    lines
}

fn verdict(verdict: &Verdict, paint: Paint) -> String {
    let style = match verdict.outcome {
        Outcome::Exempt { .. }
        | Outcome::Default {
            action: DefaultAction::Allow,
        } => Style::Green,
        Outcome::Verify { .. } => Style::Cyan,
        Outcome::Default { .. } | Outcome::Reject { .. } => Style::Red,
        Outcome::Unchecked => Style::Yellow,
    };
    paint.apply(style, &verdict.summary)
}

fn policies(lines: &mut Vec<String>, explanation: &Explanation, paint: Paint) {
    let others = match explanation.unrelated {
        0 => String::new(),
        number => format!(
            " ({} not about this image)",
            count(number, "other is", "others are")
        ),
    };
    if explanation.policies.is_empty() {
        lines.push(format!("no policy is about it{others}"));
        return;
    }
    lines.push(format!("policies about it{others}"));
    let ids: Vec<String> = explanation
        .policies
        .iter()
        .map(|it| it.id.to_string())
        .collect();
    let width = ids.iter().map(String::len).max().unwrap_or_default();
    for (relevant, id) in explanation.policies.iter().zip(ids) {
        let id = paint.apply(Style::Bold, format_args!("{id:width$}"));
        lines.push(format!("  {id}  {}", coverage(relevant)));
        // What it demands of others does not matter here.
        if matches!(relevant.coverage, Coverage::Covers | Coverage::Audit) {
            demand(lines, relevant);
        }
    }
}

fn coverage(relevant: &Relevant) -> String {
    let scope = &relevant.scope;
    match (relevant.coverage, &relevant.exclude) {
        (Coverage::Excluded, Some(exclude)) => {
            format!("leaves it out: scope {scope}, exclude {exclude}")
        }
        (Coverage::Covers | Coverage::Excluded, _) => format!("covers it: scope {scope}"),
        (Coverage::Audit, _) => format!("covers it and only reports (mode Audit): scope {scope}"),
        (Coverage::OtherNamespace, _) => {
            let namespace = relevant.id.namespace().unwrap_or_default();
            format!("is for pods of the namespace `{namespace}` alone: scope {scope}")
        }
    }
}

fn demand(lines: &mut Vec<String>, relevant: &Relevant) {
    let demand = &relevant.demand;
    lines.push(format!("    {}:", demand.words));
    let names = demand
        .authorities
        .iter()
        .map(|authority| authority.name.len());
    let width = names.max().unwrap_or_default();
    for authority in &demand.authorities {
        let mut name = authority.name.as_str();
        for words in &authority.words {
            lines.push(format!("      {name:width$}  {words}"));
            name = "";
        }
    }
    lines.push(format!("    {}", demand.identity_words));
}

fn runtime(lines: &mut Vec<String>, on: &OnRuntime, paint: Paint) {
    let version = on
        .version
        .as_ref()
        .map(|version| format!(" {version}"))
        .unwrap_or_default();
    let name = paint.apply(Style::Bold, format_args!("{}{version}", on.runtime));
    lines.push(format!("{name}: {}", verdict(&on.verdict, paint)));
    if let Some(note) = &on.note {
        lines.push(labelled("note", note, Style::Cyan, paint));
    }
    for policy in &on.policies {
        let label = match policy.does {
            Does::Enforces | Does::Reports => "",
            Does::LeavesOut => "left out",
            Does::Rejects => "refuses",
        };
        let by = |limit: &Limitation| format!("{}: {}: {limit}", policy.id, limit.reason);
        for limit in &policy.capability.prevents {
            lines.push(labelled(label, &by(limit), Style::Red, paint));
        }
        for limit in &policy.capability.warnings {
            lines.push(labelled("warning", &by(limit), Style::Yellow, paint));
        }
    }
    match &on.compiled {
        Some(compiled) => decided_by(lines, compiled, paint),
        None => lines.push(labelled("decided by", "nobody", Style::Dim, paint)),
    }
}

fn labelled(label: &str, text: &str, style: Style, paint: Paint) -> String {
    format!(
        "  {}  {text}",
        paint.apply(style, format_args!("{label:10}"))
    )
}

fn decided_by(lines: &mut Vec<String>, compiled: &Compiled, paint: Paint) {
    let (text, rules) = match compiled {
        Compiled::Table { file, scope, entry } => {
            let scope = scope.as_ref().map(|scope| format!("scope {scope}"));
            let scope = scope.unwrap_or_else(|| "no scope".to_owned());
            (
                format!("{file}, {scope}: {}", entry_words(entry.as_ref())),
                None,
            )
        }
        Compiled::Rules { file, scope, rules } => {
            let own = "the node's own policy.json (that of CRI-O's packages)";
            let file = file.as_deref().unwrap_or(own);
            let scope = match scope.as_deref() {
                None => "default".to_owned(),
                Some("") => "default of the transport docker".to_owned(),
                Some(scope) => format!("scope {scope}"),
            };
            (format!("{file}, {scope}:"), Some(rules))
        }
    };
    lines.push(labelled("decided by", &text, Style::Dim, paint));
    let value = rules.and_then(|rules| serde_json::to_value(rules).ok());
    if let Some(mut value) = value {
        shorten(&mut value);
        let json = serde_json::to_string_pretty(&value).unwrap_or_default();
        lines.extend(
            json.lines()
                .map(|line| format!("    {}", paint.apply(Style::Dim, line))),
        );
    }
}

fn entry_words(entry: Option<&Entry>) -> String {
    match entry {
        None | Some(Entry::Default) => "the default action".to_owned(),
        Some(Entry::Exempt) => "exempt".to_owned(),
        Some(Entry::Refused) => "always refused".to_owned(),
        Some(Entry::Verify(ids)) => {
            let ids: Vec<String> = ids.iter().map(PolicyId::to_string).collect();
            ids.join(", ")
        }
    }
}

/// Cuts keys and certificates short.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > MAX_VALUE => {
            let head: String = text.chars().take(24).collect();
            *text = format!("{head}… ({} characters)", text.chars().count());
        }
        Value::Array(list) => list.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}
