//! Gathers the signatures of an image, in all places at once.
//!
//! ```text
//!  tag sha256-<hex>.sig ───▶ manifest ─────────────────┐
//!  referrers API ──────────▶ list ─┐                   ├─▶ layers ─▶ candidates
//!  tag sha256-<hex> ───────▶ index ┴─▶ manifests ──────┘
//! ```
//!
//! The three lookups run in parallel, and so does what follows from them. How much is looked at is
//! capped. What is found comes one by one, so that the caller can stop when it has seen enough.

mod bulk;
#[doc(hidden)]
pub mod layer;

use std::collections::{BTreeSet, VecDeque};

use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use policy::digest::Digest;
use policy::verifier::Limits;

use self::layer::Kind;
use crate::candidate::{Finding, Found};
use crate::payload::SIGN_PREDICATE;
use crate::reason::{Reason, quoted};
use crate::registry::manifest::{Descriptor, Manifest};
use crate::registry::{Referrers, Registry, RegistryError};

/// How many requests run at once.
const PARALLEL: usize = 8;
/// The most bundles of one referrer; cosign writes one. Otherwise a single referrer with many could
/// use up the cap before the good one is reached.
const BUNDLES_PER_REFERRER: usize = 2;
/// The artifact type of signatures in the Notary Project's format.
const NOTATION: &str = "application/vnd.cncf.notary.signature";

/// A search for the signatures of one image.
pub struct Discovery<'a> {
    registry: &'a Registry<'a>,
    running: FuturesUnordered<LocalBoxFuture<'a, Step>>,
    waiting: VecDeque<Job>,
    ready: VecDeque<Found>,
    seen: BTreeSet<Digest>,
    referrers_left: u32,
    attachments_left: u32,
    bundles_left: u32,
}

/// One thing to fetch.
#[derive(Debug)]
enum Job {
    /// The manifest that cosign attaches signatures with.
    Attachment(String),
    /// The list of the referrers API.
    Referrers(Digest),
    /// The list that stands in for the API.
    FallbackIndex(String),
    /// The manifest of a referrer.
    Referrer(Digest),
    /// A layer that holds a signature.
    Layer(Digest, Kind, String),
}

/// What came of a job.
#[derive(Debug, Default)]
struct Step {
    found: Vec<Found>,
    referrers: Vec<Descriptor>,
    layers: Vec<(Descriptor, String)>,
}

impl<'a> Discovery<'a> {
    /// Prepares the search for signatures of `digest`. Nothing is sent before the first
    /// [`Discovery::next`].
    #[must_use]
    pub fn new(registry: &'a Registry<'a>, digest: &Digest, limits: &Limits) -> Self {
        let hex = digest.hex();
        let waiting = VecDeque::from([
            Job::Attachment(format!("sha256-{hex}.sig")),
            Job::Referrers(digest.clone()),
            Job::FallbackIndex(format!("sha256-{hex}")),
        ]);
        Self {
            registry,
            running: FuturesUnordered::new(),
            waiting,
            ready: VecDeque::new(),
            seen: BTreeSet::new(),
            referrers_left: limits.max_signatures,
            attachments_left: limits.max_signatures,
            bundles_left: limits.max_signatures,
        }
    }

    /// The next thing that was found; nothing when the search is over. Dropping the search stops
    /// what is under way.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Some(found);
            }
            while self.running.len() < PARALLEL {
                let Some(job) = self.waiting.pop_front() else {
                    break;
                };
                self.running.push(Box::pin(run(self.registry, job)));
            }
            let step = self.running.next().await?;
            self.ready.extend(step.found);
            self.plan_referrers(step.referrers);
            self.plan_layers(step.layers);
        }
    }

    fn plan_referrers(&mut self, mut referrers: Vec<Descriptor>) {
        // Where a cap is reached, it should not have been used up on what is no signature.
        referrers.sort_by_cached_key(likelihood);
        let mut notation = 0;
        let mut attestations = 0;
        for referrer in referrers {
            if referrer.artifact_type.as_deref() == Some(NOTATION) {
                notation += 1;
                continue;
            }
            // What the registry says here is not authenticated, but can only take away.
            let predicate = referrer.annotations().predicate_type;
            if predicate.is_some_and(|predicate| predicate != SIGN_PREDICATE) {
                attestations += 1;
                continue;
            }
            match referrer.digest() {
                // The API and the tag may both list it.
                Ok(digest) if self.seen.contains(&digest) => {}
                Ok(_) if self.referrers_left == 0 => {
                    self.find(
                        Reason::LimitExceeded,
                        "there are more referrers than are looked at",
                    );
                    break;
                }
                Ok(digest) => {
                    self.referrers_left -= 1;
                    self.seen.insert(digest.clone());
                    self.waiting.push_back(Job::Referrer(digest));
                }
                Err(error) => self.find(error.reason(), format!("a referrer: {error}")),
            }
        }
        if notation > 0 {
            let message = format!("{notation} signatures are in the Notary Project's format");
            self.find(Reason::UnsupportedFormat, message);
        }
        if attestations > 0 {
            let message =
                format!("{attestations} attestations, which are no signatures of the image");
            self.find(Reason::NoSignature, message);
        }
    }

    fn plan_layers(&mut self, layers: Vec<(Descriptor, String)>) {
        for (layer, origin) in layers {
            let kind = match layer::kind(&layer, &origin) {
                None => continue,
                Some(Ok(kind)) => kind,
                Some(Err(finding)) => {
                    self.ready.push_back(Found::Finding(finding));
                    continue;
                }
            };
            // Caps of their own: many of one kind must not crowd out the other.
            let left = match kind {
                Kind::SimpleSigning(_) => &mut self.attachments_left,
                Kind::Bundle => &mut self.bundles_left,
            };
            match layer.digest() {
                Ok(_) if *left == 0 => {
                    self.find(
                        Reason::LimitExceeded,
                        "there are more signatures than are tried",
                    );
                    break;
                }
                Ok(digest) => {
                    *left -= 1;
                    // What is nearest to a verdict goes first.
                    self.waiting.push_front(Job::Layer(digest, kind, origin));
                }
                Err(error) => self.find(error.reason(), format!("{origin}: {error}")),
            }
        }
    }

    fn find(&mut self, reason: Reason, message: impl Into<String>) {
        self.ready
            .push_back(Found::Finding(Finding::new(reason, message)));
    }
}

/// Lower is likelier to be a signature.
fn likelihood(referrer: &Descriptor) -> u8 {
    if referrer.annotations().predicate_type.as_deref() == Some(SIGN_PREDICATE) {
        return 0;
    }
    match referrer.artifact_type.as_deref() {
        Some(kind) if kind.starts_with(layer::BUNDLE_PREFIX) => 1,
        Some(kind) if kind.starts_with("application/vnd.dev.cosign.") => 1,
        // An index may report the type of the empty config here, or nothing.
        Some(kind) if kind.starts_with("application/vnd.oci.") => 2,
        None => 2,
        Some(_) => 3,
    }
}

async fn run(registry: &Registry<'_>, job: Job) -> Step {
    match job {
        Job::Attachment(tag) => match registry.manifest_by_tag(&tag).await {
            Ok(manifest) => Step::layers(manifest, &format!("tag {tag}")),
            Err(error) => Step::missing(&error, &format!("tag {tag}")),
        },
        Job::FallbackIndex(tag) => match registry.index_by_tag(&tag).await {
            Ok(index) => Step {
                referrers: index.into_manifests(),
                ..Step::default()
            },
            Err(error) => Step::missing(&error, &format!("tag {tag}")),
        },
        Job::Referrers(digest) => match registry.referrers(&digest).await {
            Ok(Referrers::Listed { manifests, cut }) => {
                let message = "the list of referrers is longer than is read";
                let finding = Finding::new(Reason::LimitExceeded, message);
                let found = cut.then_some(Found::Finding(finding));
                let found = found.into_iter().collect();
                Step {
                    referrers: manifests,
                    found,
                    ..Step::default()
                }
            }
            Ok(Referrers::Unsupported) => Step::default(),
            Err(error) => Step::failed(&error, "the list of referrers"),
        },
        Job::Referrer(digest) => {
            let origin = format!("referrer {}", short(&digest));
            match registry.manifest(&digest).await {
                Ok(manifest) => Step::layers(manifest, &origin).with_few_bundles(&origin),
                Err(error) => Step::failed(&error, &origin),
            }
        }
        Job::Layer(digest, kind, origin) => match registry.blob(&digest).await {
            Ok(content) => Step {
                found: vec![layer::read(kind, content, origin)],
                ..Step::default()
            },
            Err(error) => Step::failed(&error, &origin),
        },
    }
}

impl Step {
    fn failed(error: &RegistryError, what: &str) -> Self {
        let reason = match error {
            // It is listed, and the registry does not have it: broken, not unsigned.
            RegistryError::NotFound => Reason::MalformedSignature,
            error => error.reason(),
        };
        let finding = Finding::new(reason, format!("{what}: {error}"));
        Self {
            found: vec![Found::Finding(finding)],
            ..Self::default()
        }
    }

    /// As [`Step::failed`], for what need not be there.
    fn missing(error: &RegistryError, what: &str) -> Self {
        match error {
            RegistryError::NotFound => Self::default(),
            error => Self::failed(error, what),
        }
    }

    /// Without the bundles that one referrer has too many of.
    fn with_few_bundles(mut self, origin: &str) -> Self {
        let mut bundles = 0;
        let before = self.layers.len();
        self.layers.retain(|(layer, _)| {
            let is_bundle = layer.media_type.starts_with(layer::BUNDLE_PREFIX);
            bundles += usize::from(is_bundle);
            !is_bundle || bundles <= BUNDLES_PER_REFERRER
        });
        if self.layers.len() < before {
            let message = format!("{origin} has more than {BUNDLES_PER_REFERRER} bundles");
            let finding = Finding::new(Reason::LimitExceeded, message);
            self.found.push(Found::Finding(finding));
        }
        self
    }

    /// Newest first: cosign appends.
    fn layers(manifest: Manifest, origin: &str) -> Self {
        let many = manifest.layers.len() > 1;
        let mut step = Self::default();
        if manifest.artifact_type.as_deref() == Some(NOTATION) {
            let message = format!("{origin} is in the Notary Project's format");
            step.found.push(Found::Finding(Finding::new(
                Reason::UnsupportedFormat,
                message,
            )));
            return step;
        }
        for (index, layer) in manifest.layers.into_iter().enumerate().rev() {
            let origin = if many {
                format!("{origin}, signature {}", index + 1)
            } else {
                origin.to_owned()
            };
            step.layers.push((layer, origin));
        }
        step
    }
}

fn short(digest: &Digest) -> String {
    quoted(digest.as_str().get(..19).unwrap_or_default())
}
