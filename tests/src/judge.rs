//! CRI-O's verdict without CRI-O: one process around the library that it verifies with.

use std::fmt;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use xtask::peers;

use crate::cleanup;
use crate::memory_registry::MemoryRegistry;

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
    #[serde(flatten)]
    pub policy: Policy,
    /// The folder that says where signatures are looked up; it may be missing.
    pub registries_d: PathBuf,
    /// The file that says which registries have mirrors; it may be missing.
    pub registries_conf: PathBuf,
    /// The image, as a pod names it, with its tag or digest.
    pub image: String,
}

/// A policy.json.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub enum Policy {
    /// The file at this path.
    #[serde(rename = "policy")]
    File(PathBuf),
    /// A file with this content.
    #[serde(rename = "policyBytes", serialize_with = "base64")]
    Bytes(Vec<u8>),
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
    /// Starts the judge. It asks the registries that images name.
    pub fn start() -> Result<Self> {
        Self::spawn(&mut Command::new(peers::locate("judge")?))
    }

    /// Starts the judge behind a registry that has all images, whatever registry they name.
    pub fn behind(registry: &MemoryRegistry) -> Result<Self> {
        let mut command = Command::new(peers::locate("judge")?);
        Self::spawn(command.arg("-proxy").arg(registry.proxy()))
    }

    /// Whether the image may run. No verdict, as when the image does not exist, is an error.
    pub fn ask(&mut self, question: &Question) -> Result<Verdict> {
        one(self.ask_all(std::slice::from_ref(question))?)
    }

    /// The verdicts on many questions, in their order. The judge has several in hand at once, so
    /// this is faster than one after the other.
    pub fn ask_all(&mut self, questions: &[Question]) -> Result<Vec<Verdict>> {
        let answers = self.exchange(questions)?;
        let said = questions.iter().zip(answers);
        said.map(|(question, answer)| verdict(question, answer))
            .collect()
    }

    /// Whether a policy file parses, and what is wrong with it if it does not.
    pub fn parse(&mut self, policy: &Path) -> Result<Result<(), String>> {
        one(self.parse_all(&[Policy::from(policy)])?)
    }

    /// Which of many policies parse, in their order, and what is wrong with those that do not.
    pub fn parse_all(&mut self, policies: &[Policy]) -> Result<Vec<Result<(), String>>> {
        let parsed = |answer: Answer| match answer.verdict.as_str() {
            "parsed" => Ok(Ok(())),
            "invalid" => Ok(Err(answer.detail)),
            other => bail!("the judge cannot read a policy: {other}: {}", answer.detail),
        };
        self.exchange(policies)?.into_iter().map(parsed).collect()
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cleanup::start_group(command).context("start the judge")?;
        let questions = child.stdin.take().context("the judge has no stdin")?;
        let answers = child.stdout.take().context("the judge has no stdout")?;
        Ok(Self {
            child,
            questions,
            answers: BufReader::new(answers),
        })
    }

    /// As many answers as questions.
    fn exchange(&mut self, questions: &[impl Serialize + Sync]) -> Result<Vec<Answer>> {
        let Self {
            questions: stdin,
            answers: stdout,
            ..
        } = self;
        if let [question] = questions {
            write(stdin, question)?;
            return Ok(vec![read(stdout)?]);
        }
        thread::scope(|scope| {
            // Who only wrote, and then only read, would wait for a judge that waits for a reader.
            let writing = scope.spawn(move || {
                let mut stdin = BufWriter::new(stdin);
                let mut all = questions.iter();
                all.try_for_each(|question| write(&mut stdin, question))?;
                stdin.flush().context("ask the judge")
            });
            let answers = questions.iter().map(|_| read(stdout)).collect();
            match writing.join() {
                Ok(written) => written.and(answers),
                Err(_) => Err(anyhow!("asking the judge broke off")),
            }
        })
    }
}

/// Writes a question as JSON on one line: it holds no line end of its own.
fn write(stdin: &mut impl std::io::Write, question: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(question).context("write a question")?;
    line.push(b'\n');
    stdin.write_all(&line).context("ask the judge")
}

fn read(stdout: &mut impl std::io::BufRead) -> Result<Answer> {
    let mut line = String::new();
    stdout.read_line(&mut line).context("hear the judge")?;
    serde_json::from_str(&line).with_context(|| format!("the judge said {line:?}"))
}

fn verdict(question: &Question, answer: Answer) -> Result<Verdict> {
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

fn one<T>(answers: Vec<T>) -> Result<T> {
    answers
        .into_iter()
        .next()
        .context("the judge gave no answer")
}

fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            // Bytes one by one tell nobody anything.
            Self::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                f.debug_tuple("Bytes").field(&text).finish()
            }
        }
    }
}

impl From<PathBuf> for Policy {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&Path> for Policy {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl From<Vec<u8>> for Policy {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        cleanup::end_group(&mut self.child);
    }
}
