//! `nodeseal render`.

mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::error::ErrorKind;
use crds::{Problem, files, load};
use policy::bundle::Bundle;
use policy::containerd::{self, ConfigVersion, ContainerdFacts};
use policy::crio::document::{PolicyJson, Rule, Rules, StrictMap};
use policy::crio::mirrors::{self, Registry};
use policy::crio::render::{self as crio, CrioFacts};
use policy::digest::Digest;
use policy::files::{Diagnostic, File, FileSet};
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
    /// The node's own policy.json, which the files for CRI-O build on; that of CRI-O's packages,
    /// which accepts everything, where it is left out.
    #[arg(long, value_name = "FILE")]
    base_policy: Option<PathBuf>,
    /// The node's registries.conf, whose mirrors CRI-O looks signatures up at.
    #[arg(long, value_name = "FILE")]
    registries_conf: Option<PathBuf>,
    /// The folder to write below; the files stand there at their paths on the node.
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// containerd 2.1 or later with the image verifier.
    Containerd,
    /// CRI-O 1.25 or later.
    #[value(name = "cri-o")]
    CriO,
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
    let node = match own_files(args) {
        Ok(node) => node,
        Err((answer, message)) => {
            output::warn_line(format_args!("error: {message}"));
            return answer;
        }
    };
    let loaded = load::load_read(&files::read(&args.filename));
    let settings = loaded.settings.clone().unwrap_or_default();
    let policies = loaded.policies.iter().map(|loaded| loaded.policy.clone());
    let bundle = Bundle::new(settings, policies);
    let (files, diagnostics) = match args.runtime {
        Runtime::Containerd => containerd_files(&bundle, args.runtime_version),
        Runtime::CriO => crio_files(&bundle, args.runtime_version, node),
    };

    if let Err(error) = write::files(&args.out_dir, &files) {
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

/// As [`containerd_files`]; the locations that other files configure are facts of the node as well.
fn crio_files(
    bundle: &Bundle,
    version: Option<Version>,
    node: OwnFiles,
) -> (FileSet, Vec<Diagnostic>) {
    let facts = CrioFacts {
        version: version.unwrap_or(crio::NEWEST),
        policy_path: paths::CRIO_POLICY.to_owned(),
        namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
        base: node.base,
        taken_locations: BTreeSet::new(),
    };
    let rendered =
        crio::render(bundle, &NodeFacts::default(), &facts).with_mirrors(&node.registries, &facts);
    (rendered.files(&facts), rendered.diagnostics)
}

/// What a CRI-O node has of its own.
struct OwnFiles {
    base: PolicyJson,
    registries: Vec<Registry>,
}

/// The node's own files, or what to answer instead.
fn own_files(args: &Args) -> Result<OwnFiles, (Answer, String)> {
    let given = args.base_policy.is_some() || args.registries_conf.is_some();
    if args.runtime != Runtime::CriO && given {
        usage("--base-policy and --registries-conf go with --runtime cri-o\n");
    }
    let base = match &args.base_policy {
        Some(path) => PolicyJson::parse(&read(path)?).map_err(|error| refused(path, &error))?,
        None => accept_everything(),
    };
    let registries = match &args.registries_conf {
        Some(path) => {
            let bytes = read(path)?;
            let text = String::from_utf8(bytes).map_err(|error| refused(path, &error))?;
            mirrors::parse(&text).map_err(|error| refused(path, &error))?
        }
        None => Vec::new(),
    };
    Ok(OwnFiles { base, registries })
}

fn read(path: &Path) -> Result<Vec<u8>, (Answer, String)> {
    std::fs::read(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        (Answer::Unknown, message)
    })
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> (Answer, String) {
    let message = format!(
        "{}: CRI-O would not accept this file: {error}",
        path.display()
    );
    (Answer::No, message)
}

/// What CRI-O's packages install.
fn accept_everything() -> PolicyJson {
    PolicyJson {
        default: Rules::one(Rule::InsecureAcceptAnything {}),
        transports: StrictMap::default(),
    }
}

/// Ends the program as the argument parser does.
fn usage(message: &str) -> ! {
    clap::Error::raw(ErrorKind::ArgumentConflict, message).exit()
}

fn written<'a>(path: &'a str, file: &File) -> Written<'a> {
    Written {
        path,
        mode: format!("{:04o}", file.mode),
        bytes: file.bytes.len(),
        digest: Digest::of(&file.bytes),
    }
}
