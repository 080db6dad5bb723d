//! The `imports` of a root file: what they cover, and how a folder is added to them.

use std::fmt::Write as _;

use similar::TextDiff;
use toml_edit::{Array, DocumentMut, Item, Value};

use super::glob::{absolute, is_pattern, matches};

/// The most lines that a diff for status has.
const MAX_DIFF_LINES: usize = 40;
/// The most characters of one line of it.
const MAX_DIFF_LINE: usize = 200;

/// Why a root file cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum ImportsError {
    /// Not TOML.
    #[error("the root file is not valid TOML: {0}")]
    Toml(#[from] toml_edit::TomlError),
    /// `imports` is no array.
    #[error("`imports` in the root file is no array, so nothing can be added to it: correct it")]
    Shape,
}

/// Whether these `imports` of the file at `importer` make containerd read `path`.
#[must_use]
pub fn is_imported(imports: &[String], importer: &str, path: &str) -> bool {
    imports.iter().any(|entry| {
        let entry = absolute(entry, importer);
        if !is_pattern(&entry) {
            return entry == path;
        }
        matches(&entry, path) == Some(true)
    })
}

/// The text of the root file with `pattern` added to its `imports`; `None` when it is there already.
///
/// Comments, order and formatting stay. A root file that is missing, or has no setting at all,
/// becomes a minimal one: `default_version` has to be the newest one that the running containerd
/// knows ([`super::Generation::newest_version`]), with which a file that sets nothing else leaves
/// its defaults as they are.
pub fn imports_edit(
    root: Option<&str>,
    pattern: &str,
    default_version: i64,
) -> Result<Option<String>, ImportsError> {
    let mut document: DocumentMut = root.unwrap_or_default().parse()?;
    if document.is_empty() {
        // What was there is comments at most, which then follow.
        let below = root.unwrap_or_default();
        let pattern = Value::from(pattern);
        return Ok(Some(format!(
            "version = {default_version}\nimports = [{pattern}]\n{below}"
        )));
    }
    // Without regard to case, as containerd reads it.
    let key = document
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| key.to_lowercase() == "imports")
        .max();
    let Some(key) = key else {
        let mut array = Array::new();
        array.push(pattern);
        document.insert("imports", Item::Value(Value::Array(array)));
        return Ok(Some(document.to_string()));
    };
    let array = document
        .get_mut(&key)
        .and_then(Item::as_array_mut)
        .ok_or(ImportsError::Shape)?;
    if array.iter().any(|entry| entry.as_str() == Some(pattern)) {
        return Ok(None);
    }
    append(array, pattern);
    Ok(Some(document.to_string()))
}

/// Adds an entry in the style of those that are there.
fn append(array: &mut Array, pattern: &str) {
    let text = |raw: Option<&toml_edit::RawString>| {
        raw.and_then(toml_edit::RawString::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut entry = Value::from(pattern);
    let trailing_comma = array.trailing_comma();
    // What stands between the last entry and the bracket: white space and comments.
    let last = array.len().checked_sub(1);
    let end = match last {
        Some(last) if !trailing_comma => text(array.get(last).and_then(|v| v.decor().suffix())),
        _ => text(Some(array.trailing())),
    };
    let first = text(array.get(0).and_then(|value| value.decor().prefix()));
    if first.contains('\n') || end.contains('\n') {
        let indent = first.rsplit('\n').next().unwrap_or_default();
        let indent = if indent.is_empty() { "  " } else { indent };
        let (comments, close) = end.rsplit_once('\n').unwrap_or((&end, ""));
        entry
            .decor_mut()
            .set_prefix(format!("{}\n{indent}", comments.trim_end()));
        let close = format!("\n{close}");
        if trailing_comma || last.is_none() {
            array.set_trailing(close);
        } else {
            entry.decor_mut().set_suffix(close);
        }
        if let Some(value) = last
            .filter(|_| !trailing_comma)
            .and_then(|at| array.get_mut(at))
        {
            value.decor_mut().set_suffix("");
        }
    } else {
        let space = if last.is_some() { " " } else { "" };
        entry.decor_mut().set_prefix(space);
        if let Some(value) = last
            .filter(|_| !trailing_comma)
            .and_then(|at| array.get_mut(at))
        {
            value.decor_mut().set_suffix("");
            entry.decor_mut().set_suffix(end);
        }
    }
    array.push_formatted(entry);
    array.set_trailing_comma(trailing_comma);
}

/// A unified diff with one line of context, for a person to read in status: at most 40 lines of
/// at most 200 characters, and a word when there were more.
#[must_use]
pub fn diff(path: &str, old: &str, new: &str) -> String {
    let compared = TextDiff::from_lines(old, new);
    let mut text = format!("--- {path}\n+++ {path}\n");
    let unified = compared.unified_diff().context_radius(1).to_string();
    let mut lines = unified.lines();
    for line in lines.by_ref().take(MAX_DIFF_LINES) {
        let short: String = line.chars().take(MAX_DIFF_LINE).collect();
        let cut = if short.len() < line.len() { "…" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{short}{cut}");
    }
    let more = lines.count();
    if more > 0 {
        let _ = writeln!(text, "… and {more} lines more");
    }
    text
}

#[cfg(test)]
#[path = "imports_tests.rs"]
mod tests;
