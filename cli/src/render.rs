//! `nodeseal render`.

mod node;
mod report;
mod write;

use std::path::PathBuf;

use clap::error::ErrorKind;
use crds::{Problem, Severity};
use policy::bundle::Bundle;
use policy::capability::{self, table};
use policy::containerd::{self, ConfigVersion, ContainerdFacts};
use policy::crio::render::{self as crio, CrioFacts, MAX_POLICY_JSON};
use policy::digest::Digest;
use policy::explain::packaged_crio;
use policy::files::{Diagnostic, File, FileSet};
use policy::flatten::{NodeFacts, flatten};
use policy::version::Version;
use serde::Serialize;

use crate::input;
use crate::output::{self, Answer, Format};
use crate::runtime::Runtime;
use node::OwnFiles;

/// Write the files that a node would hold.
///
/// They stand below the folder at their paths on the node. What the runtime cannot express is told on
/// standard error and is no fault; an invalid policy is left out, and the rest is still written.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 written; 1 written, without policies that are not valid; 2 wrong usage; 3 something could not be read or written."
)]
pub(crate) struct Args {
    /// Files, folders with all folders in them (.yaml, .yml, .json), or `-` for standard input.
    /// Any `ConfigMap`, `Secret` and `TrustRoot` that policies refer to belongs in there as well.
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
    /// The node's registries.conf, whose mirrors CRI-O looks signatures up at; again for each of
    /// its drop-ins, in the order of their names.
    #[arg(long, value_name = "FILE")]
    registries_conf: Vec<PathBuf>,
    /// The folder to write below; the files stand there at their paths on the node.
    #[arg(long, value_name = "DIR")]
    out_dir: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    bundle: Digest,
    files: Vec<Written<'a>>,
    diagnostics: &'a [Diagnostic],
    warnings: &'a [Diagnostic],
    notes: &'a [String],
    problems: &'a [Problem],
}

#[derive(Serialize)]
struct Written<'a> {
    path: &'a str,
    mode: String,
    bytes: usize,
    digest: Digest,
}

/// Runs the command.
pub(crate) fn run(args: &Args, format: Format) -> Answer {
    let runtime = args.runtime.in_version(args.runtime_version);
    let node = match node(args, runtime) {
        Ok(node) => node,
        Err((answer, message)) => {
            output::error_line(message);
            return answer;
        }
    };
    let loaded = input::load(&args.filename);
    if input::is_incomplete(&loaded) {
        output::print_problems(loaded.problems_of(Severity::Error));
        output::error_line("some policies could not be read, so nothing is written");
        return Answer::Unknown;
    }
    let bundle = input::bundle(&loaded);
    let rendered = match node {
        Node::Crio(version, own) => crio_files(&bundle, version, own),
        Node::Containerd(version) => Ok(containerd_files(&bundle, version)),
    };
    let (files, diagnostics) = match rendered {
        Ok(rendered) => rendered,
        Err(TooLarge(bytes)) => {
            output::print_problems(&loaded.problems);
            output::error_line(format_args!(
                "policy.json would have {bytes} bytes or more, and a node takes at most {MAX_POLICY_JSON}, so nothing is written: use fewer scopes, or a smaller --base-policy"
            ));
            return Answer::No;
        }
    };
    let warnings = capability::warnings(bundle.policies(), runtime);
    let notes: Vec<String> = table::out_of_range(runtime).into_iter().collect();

    if let Err(error) = write::files(&args.out_dir, &files) {
        output::print_problems(&loaded.problems);
        output::error_line(error);
        return Answer::Unknown;
    }
    let written = files.iter().map(|(path, file)| written(path, file));
    match format {
        Format::Json => output::print_json(&Report {
            bundle: bundle.digest(),
            files: written.collect(),
            diagnostics: &diagnostics,
            warnings: &warnings,
            notes: &notes,
            problems: &loaded.problems,
        }),
        Format::Text => {
            output::print_problems(&loaded.problems);
            report::notes(&notes);
            report::diagnostics(&diagnostics);
            report::warnings(&warnings);
            for Written {
                path,
                mode,
                bytes,
                digest,
            } in written
            {
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
    let runtime = capability::Runtime::Containerd(version);
    (files, capability::diagnostics(bundle.policies(), runtime))
}

/// The bytes of a policy.json that no node takes.
struct TooLarge(usize);

/// As [`containerd_files`]; the locations that other files configure are facts of the node as well.
fn crio_files(
    bundle: &Bundle,
    version: Version,
    node: OwnFiles,
) -> Result<(FileSet, Vec<Diagnostic>), TooLarge> {
    let facts = CrioFacts {
        base: node.base,
        ..packaged_crio(version)
    };
    let rendered =
        crio::render(bundle, &NodeFacts::default(), &facts).with_mirrors(&node.registries, &facts);
    match rendered.too_large() {
        Some(bytes) => Err(TooLarge(bytes)),
        None => Ok((rendered.files(&facts), rendered.diagnostics)),
    }
}

/// The node to write for.
enum Node {
    Crio(Version, OwnFiles),
    Containerd(Option<Version>),
}

/// The node, or what to answer instead.
fn node(args: &Args, runtime: capability::Runtime) -> Result<Node, (Answer, String)> {
    let base = args.base_policy.as_ref();
    match runtime {
        capability::Runtime::Crio(version) => {
            let own = node::own_files(version, base, &args.registries_conf)?;
            Ok(Node::Crio(version, own))
        }
        capability::Runtime::Containerd(version) => {
            if base.is_some() || !args.registries_conf.is_empty() {
                let message = "--base-policy and --registries-conf go with --runtime cri-o";
                output::usage(ErrorKind::ArgumentConflict, message);
            }
            Ok(Node::Containerd(version))
        }
    }
}

fn written<'a>(path: &'a str, file: &File) -> Written<'a> {
    Written {
        path,
        mode: format!("{:04o}", file.mode),
        bytes: file.bytes.len(),
        digest: Digest::of(&file.bytes),
    }
}
