//! A verdict for people.

use image_verifier::reason::bounded;

use super::report::{AuthorityReport, PolicyReport, ReasonReport, Report, Word};
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
        of_policy(&mut lines, policy, &report.message, paint);
    }
    if !report.manifests.is_empty() {
        lines.push(String::new());
        lines.push("manifests of the index".to_owned());
        lines.extend(report.manifests.iter().map(|manifest| {
            let (digest, platform) = (&manifest.digest, &manifest.platform);
            let why = manifest.refusal.as_ref().map_or_else(
                || paint.apply(Style::Green, "passes by itself"),
                |refusal| {
                    let message = bounded(&refusal.message, MAX_MESSAGE);
                    format!("{}: {message}", refusal.reason)
                },
            );
            format!("  {digest} for {platform}  {why}")
        }));
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
    let findings = unsaid(report);
    if !findings.is_empty() {
        lines.push(String::new());
        lines.push("what else was found".to_owned());
        lines.extend(findings.iter().map(|(reason, places, what)| {
            let message = format!("{}{what}", places.join(", "));
            format!("  {reason}: {}", bounded(&message, MAX_MESSAGE))
        }));
    }
    let word = paint.apply(Style::Cyan, "note:");
    lines.extend(report.notes.iter().map(|note| format!("{word} {note}")));
    lines
}

/// The findings that no line before says, with all places where the same was found: the registry that
/// cannot be reached is not reached for each of them.
fn unsaid<'a>(report: &'a Report<'_>) -> Vec<(&'static str, Vec<&'a str>, &'a str)> {
    let mut kept: Vec<(&'static str, Vec<&str>, &str)> = Vec::new();
    let refusals = report.policies.iter().flat_map(|policy| {
        let authorities = policy.authorities.iter();
        authorities.filter_map(|authority| authority.refusal.as_ref())
    });
    let messages = refusals.map(|refusal| refusal.message.as_str());
    let said: Vec<&str> = messages.chain([report.message.as_str()]).collect();
    for ReasonReport { reason, message } in &report.findings {
        if said.iter().any(|said| said.contains(message.as_str())) {
            continue;
        }
        let (place, what) = match message.find(": ") {
            Some(at) => message.split_at(at),
            None => ("", message.as_str()),
        };
        let same = kept.iter_mut().find(|it| it.0 == *reason && it.2 == what);
        match same {
            Some((_, places, _)) => places.push(place),
            None => kept.push((*reason, vec![place], what)),
        }
    }
    kept
}

fn of_policy(lines: &mut Vec<String>, policy: &PolicyReport, said: &str, paint: Paint) {
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
        of_authority(lines, authority, width, said, paint);
    }
}

/// `said` is what stands in the first line, and is not said again.
fn of_authority(
    lines: &mut Vec<String>,
    authority: &AuthorityReport,
    width: usize,
    said: &str,
    paint: Paint,
) {
    let name = &authority.authority;
    match &authority.refusal {
        None => {
            let word = paint.apply(Style::Green, "signed");
            let origins = bounded(&authority.signatures.join(", "), MAX_MESSAGE);
            lines.push(format!("  {name:width$}  {word}  {origins}"));
        }
        Some(refusal) => {
            let reason = paint.apply(Style::Red, refusal.reason);
            if refusal.message == said {
                lines.push(format!("  {name:width$}  {reason}"));
                return;
            }
            let message = bounded(&refusal.message, MAX_MESSAGE);
            lines.push(format!("  {name:width$}  {reason}: {message}"));
        }
    }
}
