//! The policy folder, read and put into the terms of [`crate::merge`].

use std::io;
use std::path::{Path, PathBuf};

use crds::Severity;
use crds::load::{InvalidObject, Loaded};

use crate::merge::{Reading, SettingsReading};
use crate::status::Problem;

/// Why the folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the policy folder {path} cannot be read: {source}; everything stays as it is until it can be"
)]
pub struct FolderError {
    /// The folder.
    pub path: String,
    /// Why not.
    pub source: io::Error,
}

/// Reads the folder. An error means that nothing is known; an empty folder is no error.
pub fn read(dir: &Path) -> Result<(Reading, Vec<Problem>), FolderError> {
    let path = dir.display().to_string();
    // Asked first: to a reader of files a folder that is gone looks like one without files.
    let listed = std::fs::read_dir(dir)
        .and_then(|mut entries| entries.try_for_each(|entry| entry.map(drop)));
    if let Err(source) = listed {
        return Err(FolderError { path, source });
    }
    let read = crds::files::read(&[PathBuf::from(dir)]);
    // And again: what vanished in between was not read as empty.
    if let Err(source) = std::fs::metadata(dir) {
        return Err(FolderError { path, source });
    }
    let empty = read
        .sources
        .iter()
        .filter(|source| crds::manifest::holds_nothing(&source.text));
    let empty: Vec<String> = empty.map(|source| source.name.clone()).collect();
    Ok(convert(crds::load::load_read(&read), &empty, dir))
}

fn convert(loaded: Loaded, empty: &[String], dir: &Path) -> (Reading, Vec<Problem>) {
    let relative = |file: &str| match Path::new(file).strip_prefix(dir) {
        // What is about the folder itself is told with its own name.
        Ok(rest) if !rest.as_os_str().is_empty() => rest.display().to_string(),
        _ => file.to_owned(),
    };
    let settings_file = loaded
        .config_source
        .as_ref()
        .map_or_else(String::new, |source| relative(&source.file));
    let mut reading = Reading {
        broken: loaded
            .broken_files
            .iter()
            .map(|file| relative(file))
            .collect(),
        empty: empty.iter().map(|file| relative(file)).collect(),
        ..Reading::default()
    };
    for InvalidObject {
        object,
        policy,
        source,
    } in &loaded.invalid
    {
        let kind = object.split('/').next().unwrap_or_default();
        match policy {
            Some(id) => reading.invalid.push((id.clone(), relative(&source.file))),
            None if kind == "EnforcementConfig" => reading.settings = SettingsReading::Invalid,
            // A policy that cannot be told by name: any that came from this file may be it.
            None if kind.ends_with("ImageSignaturePolicy") => {
                reading.broken.insert(relative(&source.file));
            }
            None => {}
        }
    }
    // An error about no object that can be named, such as a misspelt kind: what stood there before
    // may have been a policy, and did not ask to be removed.
    for problem in loaded.problems_of(Severity::Error) {
        if problem.object.is_empty() {
            reading.broken.insert(relative(&problem.file));
        }
    }
    if let Some(settings) = loaded.settings {
        reading.settings = SettingsReading::Valid(settings, settings_file.clone());
    }
    let problems: Vec<Problem> = loaded
        .problems
        .iter()
        .map(|problem| Problem {
            file: relative(&problem.file),
            line: problem.line,
            severity: problem.severity.to_string(),
            object: problem.object.clone(),
            field: problem.field.clone(),
            message: problem.message.clone(),
        })
        .collect();
    reading.policies = loaded
        .policies
        .into_iter()
        .map(|loaded| {
            let file = relative(&loaded.source.file);
            (loaded.policy, file)
        })
        .collect();
    (reading, problems)
}
