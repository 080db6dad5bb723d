//! Signatures of the manifests of an index: when they count, and what they explain when they do not.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use policy::digest::Digest;
use policy::flatten::Decision;
use policy::reference::Reference;
use policy::verifier::Limits;
use tokio::time::{Instant, timeout_at};

use super::index::{self, Chooser, Chosen, Platform};
use super::{AUDIT_PATIENCE, judged};
use crate::candidate::{Finding, Found};
use crate::evaluate::manifests::{explained, index_or_manifests, manifests_alone};
use crate::evaluate::{Judge, ManifestVerdict, Verdict};
use crate::reason::Reason;
use crate::registry::image::Image;
use crate::registry::{Registries, RegistryError};
use crate::search::Search;

/// How many manifests are looked at at once: each of them asks for several things at once.
const PARALLEL: usize = 4;
/// How long an explanation may take that changes nothing, within the deadline.
const EXPLANATION: Duration = Duration::from_secs(2);
/// How long a host may take to serve an index before the next one is asked.
const HOST_PATIENCE: Duration = Duration::from_secs(2);

/// What has to be signed where a runtime asks about an index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IndexSignature {
    /// The digest that was asked about, whatever it is. So it is on nodes: containerd asks about the
    /// index, and who signs that signs all that is in it.
    #[default]
    Itself,
    /// The index, or else every manifest in it that a node of the platform may choose, each by the
    /// same policies. Whoever signs a manifest says nothing about the index around it, so one that
    /// is not signed refuses them all.
    Platforms,
    /// The manifests of the platform, and the index counts for nothing: what CRI-O does.
    PlatformAlone,
}

/// How an image is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What has to be signed.
    pub index_signature: IndexSignature,
    /// For which nodes.
    pub platform: Platform,
    /// Whether to find out for a refusal if other runtimes would let the image pass, because its
    /// manifests are signed and the index is not, or the reverse. Takes more requests, and a moment
    /// within the deadline, for refused images alone.
    pub explains: bool,
}

/// One image to look at.
pub(crate) struct Lookup<'a> {
    pub(crate) registries: &'a Registries<'a>,
    pub(crate) image: &'a Reference,
    pub(crate) digest: &'a Digest,
    pub(crate) decision: &'a Decision<'a>,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Timestamp,
    pub(crate) deadline: Instant,
}

impl Lookup<'_> {
    /// The verdict by `options`, and those on manifests that took part. `itself` is the judge of the
    /// digest that was asked about, when it has seen all that was found.
    pub(crate) async fn verdict(
        &self,
        itself: Judge<'_>,
        options: &Options,
    ) -> (Verdict, Vec<ManifestVerdict>) {
        match options.index_signature {
            IndexSignature::Itself => self.itself(itself, options).await,
            IndexSignature::Platforms => self.platforms(itself, options).await,
            IndexSignature::PlatformAlone => self.alone(itself, options).await,
        }
    }

    async fn itself(&self, judge: Judge<'_>, options: &Options) -> (Verdict, Vec<ManifestVerdict>) {
        let verdict = judge.verdict();
        let worth = verdict.refusal.as_ref().is_some_and(|refusal| {
            // Where the registry fails, it would fail again.
            !refusal.reason.is_transient()
                && !matches!(refusal.reason, Reason::RegistryDenied | Reason::Internal)
        });
        if !(worth && options.explains) {
            return (verdict, Vec::new());
        }
        let end = self.deadline.min(Instant::now() + EXPLANATION);
        let look = self.manifests(options, Chooser::Crio, end);
        match timeout_at(end, look).await {
            Ok(Ok(Some(manifests))) => (explained(verdict, &manifests), manifests),
            // It was only to explain.
            Ok(Ok(None) | Err(_)) | Err(_) => (verdict, Vec::new()),
        }
    }

    async fn platforms(
        &self,
        mut judge: Judge<'_>,
        options: &Options,
    ) -> (Verdict, Vec<ManifestVerdict>) {
        if judge.is_settled() {
            return (judge.verdict(), Vec::new());
        }
        let end = if judge.passes() {
            self.deadline.min(Instant::now() + AUDIT_PATIENCE)
        } else {
            self.deadline
        };
        match self.manifests(options, Chooser::Any, end).await {
            Ok(None) => (judge.verdict(), Vec::new()),
            Ok(Some(manifests)) => (index_or_manifests(judge.verdict(), &manifests), manifests),
            Err(finding) => {
                judge.add(Found::Finding(finding));
                (judge.verdict(), Vec::new())
            }
        }
    }

    async fn alone(&self, judge: Judge<'_>, options: &Options) -> (Verdict, Vec<ManifestVerdict>) {
        match self.manifests(options, Chooser::Crio, self.deadline).await {
            Ok(None) => (judge.verdict(), Vec::new()),
            Ok(Some(manifests)) => (manifests_alone(&manifests, &judge.verdict()), manifests),
            Err(finding) => {
                // As if nothing had been found of the index: it counts for nothing.
                let (image, digest) = (self.image, self.digest);
                let mut judge = Judge::new(self.decision, image, digest, self.now);
                judge.add(Found::Finding(finding));
                (judge.verdict(), Vec::new())
            }
        }
    }

    /// The verdicts on all manifests that may be chosen, at least one; nothing where it is no index.
    async fn manifests(
        &self,
        options: &Options,
        chooser: Chooser,
        end: Instant,
    ) -> Result<Option<Vec<ManifestVerdict>>, Finding> {
        let image = self.fetch(end).await?;
        if !index::is_index(&image) {
            return Ok(None);
        }
        let chosen = index::chosen(&image.bytes, &options.platform, chooser)?;
        let verdicts = stream::iter(chosen).map(|chosen| self.manifest(chosen, end));
        // In their order, so that what is said does not depend on who answers first.
        Ok(Some(verdicts.buffered(PARALLEL).collect().await))
    }

    async fn manifest(&self, chosen: Chosen, end: Instant) -> ManifestVerdict {
        let Chosen { digest, platform } = chosen;
        let mut judge = Judge::new(self.decision, self.image, &digest, self.now);
        let mut search = Search::new(self.registries, &digest, self.limits);
        let host = self.image.host();
        judged(&mut judge, &mut search, host, end, &|_| {}).await;
        drop(search);
        ManifestVerdict {
            verdict: judge.verdict(),
            digest: digest.clone(),
            platform,
        }
    }

    /// What has the digest, from the first host that serves it.
    async fn fetch(&self, end: Instant) -> Result<Image, Finding> {
        let mut failure = RegistryError::NotFound;
        let mut registries = self.registries.as_slice().iter().peekable();
        while let Some(registry) = registries.next() {
            let patience = match registries.peek() {
                Some(_) => end.min(Instant::now() + HOST_PATIENCE),
                None => end,
            };
            match timeout_at(patience, registry.image(self.digest)).await {
                Ok(Ok(image)) => return Ok(image),
                Ok(Err(RegistryError::NotFound)) => {}
                Ok(Err(error)) => failure = error,
                Err(_) => {
                    let host = registry.authority();
                    let message = format!("time was up before {host} had served the index");
                    if registries.peek().is_none() {
                        return Err(Finding::new(Reason::TimedOut, message));
                    }
                    failure = RegistryError::Transient { cause: message };
                }
            }
        }
        let message = format!("the index {}: {failure}", self.digest);
        Err(Finding::new(failure.reason(), message))
    }
}
