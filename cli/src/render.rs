//! `nodeseal render`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use crds::{Problem, files, load};
use policy::bundle::Bundle;
use policy::containerd::{self, ConfigVersion, ContainerdFacts, Diagnostic, File, FileSet};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::paths;
use policy::version::Version;
use serde::Serialize;

use crate::output::{self, Answer, Format};

/// Write the files that a node would hold.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files, folders, or `-` for standard input; YAML streams or JSON.
    #[arg(short, long = "filename", required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// The container runtime of the node.
    #[arg(long, value_enum)]
    runtime: Runtime,
    /// The runtime's version; the newest one where it is left out.
    #[arg(long, value_name = "VERSION")]
    runtime_version: Option<Version>,
    /// The folder to write below; the files stand there at their paths on the node.
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// containerd 2.1 or later with the image verifier.
    Containerd,
}

#[derive(Serialize)]
struct Report<'a> {
    bundle: Digest,
    files: Vec<Written<'a>>,
    diagnostics: &'a [Diagnostic],
    problems: &'a [Problem],
}

#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    mode: String,
    bytes: usize,
    digest: Digest,
}

/// Runs the command. Invalid policies are left out and reported; the rest is still written.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let loaded = load::load_read(&files::read(&args.filename));
    let settings = loaded.settings.clone().unwrap_or_default();
    let policies = loaded.policies.iter().map(|loaded| loaded.policy.clone());
    let bundle = Bundle::new(settings, policies);
    let Runtime::Containerd = args.runtime;
    let (files, diagnostics) = containerd_files(&bundle, args.runtime_version);

    if let Err(error) = write_files(&args.out_dir, &files) {
        output::print_problems(&loaded.problems);
        output::warn_line(format_args!("error: {error}"));
        return Answer::Unknown;
    }
    match format {
        Format::Json => {
            let files = files
                .iter()
                .map(|(path, file)| written(path, file))
                .collect();
            let problems = &loaded.problems;
            let bundle = bundle.digest();
            output::print_json(&Report {
                bundle,
                files,
                diagnostics: &diagnostics,
                problems,
            });
        }
        Format::Text => {
            output::print_problems(&loaded.problems);
            for Diagnostic {
                policy,
                namespace,
                reason,
                message,
                ..
            } in &diagnostics
            {
                let namespace = namespace
                    .as_ref()
                    .map(|ns| format!("{ns}/"))
                    .unwrap_or_default();
                output::warn_line(format_args!("{namespace}{policy}: {reason}: {message}"));
            }
            for (path, file) in &files {
                let Written {
                    mode,
                    bytes,
                    digest,
                    ..
                } = written(path, file);
                let shown = args.out_dir.join(path);
                output::print_line(format_args!(
                    "{mode} {bytes:>8} {digest} {}",
                    shown.display()
                ));
            }
        }
    }
    if loaded.has_errors() {
        Answer::No
    } else {
        Answer::Yes
    }
}

/// The files and what they leave out. The node's own facts, such as its sandbox image, are added
/// there by the agent.
fn containerd_files(bundle: &Bundle, version: Option<Version>) -> (FileSet, Vec<Diagnostic>) {
    let config_version = match version {
        Some(version) if version.major < 2 => ConfigVersion::V2,
        _ => ConfigVersion::V3,
    };
    let facts = ContainerdFacts {
        config_version,
        ..ContainerdFacts::default()
    };
    let flat = flatten(bundle, &NodeFacts::default());
    let files = containerd::render(&flat, &bundle.digest(), &facts);
    (files, containerd::diagnostics(bundle, version))
}

fn written<'a>(path: &'a str, file: &File) -> Written<'a> {
    Written {
        path,
        mode: format!("{:04o}", file.mode),
        bytes: file.bytes.len(),
        digest: Digest::of(&file.bytes),
    }
}

/// Writes each file whole or not at all, and removes what an earlier run wrote and this one does
/// not.
fn write_files(dir: &Path, files: &FileSet) -> Result<(), String> {
    for stale in [paths::VERIFIER_POLICY, paths::CONTAINERD_DROP_IN] {
        if !files.contains_key(stale) {
            let path = dir.join(stale);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(format!("cannot remove {}: {error}", path.display()));
                }
                _ => {}
            }
        }
    }
    for (path, file) in files {
        let path = dir.join(path);
        write_file(&path, file)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

fn write_file(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let mut temporary = tempfile::NamedTempFile::new_in(parent)?;
    temporary.write_all(&file.bytes)?;
    temporary
        .as_file()
        .set_permissions(std::fs::Permissions::from_mode(file.mode))?;
    temporary.persist(path)?;
    Ok(())
}
