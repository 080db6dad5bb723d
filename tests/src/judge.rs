//! CRI-O's verdict without CRI-O: one process around the library that it verifies with.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use xtask::peers;

use crate::cleanup;

/// The judge, running. It is ended when this is dropped.
#[derive(Debug)]
pub struct Judge {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What CRI-O has at a pull.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The policy.json, or the namespace file that replaces it.
    pub policy: PathBuf,
    /// The folder that says where signatures are looked up; it may be missing.
    pub registries_d: PathBuf,
    /// The file that says which registries have mirrors; it may be missing.
    pub registries_conf: PathBuf,
    /// The image, as a pod names it, with its tag or digest.
    pub image: String,
}

/// What the library makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The image may run.
    Allowed,
    /// The image may not run, and why.
    Refused(String),
    /// The policy file is refused as a whole, and with it every pull.
    Invalid(String),
}

#[derive(Deserialize)]
struct Answer {
    verdict: String,
    #[serde(default)]
    detail: String,
}

impl Judge {
    /// Starts the judge.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(peers::locate("judge")?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cleanup::start_group(&mut command).context("start the judge")?;
        let questions = child.stdin.take().context("the judge has no stdin")?;
        let answers = child.stdout.take().context("the judge has no stdout")?;
        Ok(Self {
            child,
            questions,
            answers: BufReader::new(answers),
        })
    }

    /// Whether the image may run. No verdict, as when the image does not exist, is an error.
    pub fn ask(&mut self, question: &Question) -> Result<Verdict> {
        let answer = self.exchange(&serde_json::to_value(question).context("write a question")?)?;
        match answer.verdict.as_str() {
            "allowed" => Ok(Verdict::Allowed),
            "refused" => Ok(Verdict::Refused(answer.detail)),
            "invalid" => Ok(Verdict::Invalid(answer.detail)),
            other => bail!(
                "the judge has no verdict on {question:?}: {other}: {}",
                answer.detail
            ),
        }
    }

    /// Whether a policy file parses, and what is wrong with it if it does not.
    pub fn parse(&mut self, policy: &Path) -> Result<Result<(), String>> {
        let answer = self.exchange(&serde_json::json!({ "policy": policy }))?;
        match answer.verdict.as_str() {
            "parsed" => Ok(Ok(())),
            "invalid" => Ok(Err(answer.detail)),
            other => bail!("the judge cannot read a policy: {other}: {}", answer.detail),
        }
    }

    fn exchange(&mut self, question: &serde_json::Value) -> Result<Answer> {
        // JSON on one line: it holds no line end of its own.
        writeln!(self.questions, "{question}").context("ask the judge")?;
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("hear the judge")?;
        serde_json::from_str(&line).with_context(|| format!("the judge said {line:?}"))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        cleanup::end_group(&mut self.child);
    }
}
