//! A verdict for people.

use image_verifier::reason::bounded;

use super::report::{AuthorityReport, PolicyReport, Report, Word};
use crate::output::{Paint, Style, print_line};

/// The most bytes of a message: much of it comes from a registry.
const MAX_MESSAGE: usize = 1024;

/// Prints it on standard output.
pub(super) fn print(report: &Report<'_>) {
    for line in lines(report, Paint::stdout()) {
        print_line(line);
    }
}

fn lines(report: &Report<'_>, paint: Paint) -> Vec<String> {
    let (word, style) = match report.verdict {
        Word::Allowed => ("allowed", Style::Green),
        Word::Denied => ("DENIED", Style::Red),
        Word::Unknown => ("could not tell", Style::Yellow),
    };
    let image = paint.apply(Style::Bold, report.image);
    let word = paint.apply(style, word);
    let why = bounded(&report.message, MAX_MESSAGE);
    let code = report.reason.map(|reason| format!("{reason}: "));
    let mut lines = vec![format!("{image} {word}: {}{why}", code.unwrap_or_default())];
    if let Some(namespace) = report.namespace {
        lines.push(format!("pulled for a pod of the namespace `{namespace}`"));
    }
    if let Some(time) = report.valid_until {
        lines.push(format!("a certificate that this rests on ends at {time}"));
    }
    for policy in &report.policies {
        lines.push(String::new());
        of_policy(&mut lines, policy, paint);
    }
    if !report.signatures.is_empty() {
        lines.push(String::new());
        lines.push("signatures in the registry".to_owned());
        let origins = report.signatures.iter().map(|it| it.origin.len());
        let width = origins.max().unwrap_or_default();
        for signature in &report.signatures {
            let origin = &signature.origin;
            let claim = signature.claims_to_be_by.as_deref();
            let claim = claim.map_or(String::new(), |who| format!("  says that it is by {who}"));
            let line = format!("  {origin:width$}{claim}");
            lines.push(bounded(line.trim_end(), MAX_MESSAGE));
        }
    }
    if !report.findings.is_empty() {
        lines.push(String::new());
        lines.push("what else was found".to_owned());
        let findings = report.findings.iter();
        lines.extend(findings.map(|finding| {
            let message = bounded(&finding.message, MAX_MESSAGE);
            format!("  {}: {message}", finding.reason)
        }));
    }
    let word = paint.apply(Style::Cyan, "note:");
    lines.extend(report.notes.iter().map(|note| format!("{word} {note}")));
    lines
}

fn of_policy(lines: &mut Vec<String>, policy: &PolicyReport, paint: Paint) {
    let id = paint.apply(Style::Bold, &policy.policy);
    let (word, style) = match (policy.passes, policy.audit) {
        (true, _) => ("passes", Style::Green),
        (false, false) => ("fails", Style::Red),
        (false, true) => ("would fail", Style::Yellow),
    };
    let audit = if policy.audit { " (only reports)" } else { "" };
    lines.push(format!("policy {id} {}{audit}", paint.apply(style, word)));
    let names = policy.authorities.iter().map(|it| it.authority.len());
    let width = names.max().unwrap_or_default();
    for authority in &policy.authorities {
        of_authority(lines, authority, width, paint);
    }
}

fn of_authority(lines: &mut Vec<String>, authority: &AuthorityReport, width: usize, paint: Paint) {
    let name = &authority.authority;
    match &authority.refusal {
        None => {
            let word = paint.apply(Style::Green, "signed");
            let origins = bounded(&authority.signatures.join(", "), MAX_MESSAGE);
            lines.push(format!("  {name:width$}  {word}  {origins}"));
        }
        Some(refusal) => {
            let reason = paint.apply(Style::Red, refusal.reason);
            let message = bounded(&refusal.message, MAX_MESSAGE);
            lines.push(format!("  {name:width$}  {reason}: {message}"));
        }
    }
}
