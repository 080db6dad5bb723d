//! Policies over images that a cluster needs to start.

use std::collections::BTreeSet;

use super::across::sorted;
use super::{Advice, Around, Identity, Input, Word};
use crate::model::Mode;
use crate::pattern::{Pattern, SUBJECTS};
use crate::scope::Scope;

/// Images of the pod sandbox, without which no pod starts, as distributions name them.
pub const SANDBOX_IMAGES: [&str; 5] = [
    "gke.gcr.io/pause",
    "k8s.gcr.io/pause",
    "mcr.microsoft.com/oss/kubernetes/pause",
    "public.ecr.aws/eks-distro/kubernetes/pause",
    "registry.k8s.io/pause",
];
/// Where the images of the Kubernetes project are.
pub const SYSTEM_HOST: &str = "registry.k8s.io";
/// Those of the control plane, of every node, and of the cluster's names.
pub const SYSTEM_IMAGES: [&str; 6] = [
    "registry.k8s.io/coredns/coredns",
    "registry.k8s.io/etcd",
    "registry.k8s.io/kube-apiserver",
    "registry.k8s.io/kube-controller-manager",
    "registry.k8s.io/kube-proxy",
    "registry.k8s.io/kube-scheduler",
];
/// Who signs them (kubernetes.io, "Verify Signed Kubernetes Artifacts").
pub const SYSTEM_SIGNER: &str = "krel-trust@k8s-releng-prod.iam.gserviceaccount.com";

const KUBE_SYSTEM: &str = "kube-system";

/// Images that a policy had better leave alone.
pub(super) struct Sets {
    sandbox: Vec<Image>,
    system: Vec<Image>,
    system_host: Option<Scope>,
    own: Vec<Image>,
}

struct Image {
    scope: Scope,
    /// Every scope that holds it.
    lookup: Vec<String>,
}

impl Image {
    fn new(scope: Scope) -> Self {
        let lookup = scope.lookup();
        Self { scope, lookup }
    }

    fn is_within(&self, scope: &Scope) -> bool {
        self.lookup.iter().any(|wider| wider == scope.as_str())
    }

    fn holds(&self, scope: &Scope) -> bool {
        holds(&self.scope, scope)
    }
}

/// Whether `inner` lies in `outer`, which is no wildcard; most do not even begin like it.
fn holds(outer: &Scope, inner: &Scope) -> bool {
    inner.as_str().starts_with(outer.as_str()) && inner.is_within(outer)
}

impl Sets {
    pub(super) fn new(around: &Around) -> Self {
        let parse = |texts: &[&str]| -> Vec<Image> {
            let scopes = texts.iter().filter_map(|text| Scope::parse(text).ok());
            scopes.map(Image::new).collect()
        };
        Self {
            sandbox: parse(&SANDBOX_IMAGES),
            system: parse(&SYSTEM_IMAGES),
            system_host: Scope::parse(SYSTEM_HOST).ok(),
            own: around.own.iter().cloned().map(Image::new).collect(),
        }
    }

    pub(super) fn advise(&self, input: &Input, around: &Around) -> Vec<Advice> {
        let namespace = input.id.namespace();
        let reaches_system = namespace.is_none_or(|namespace| namespace == KUBE_SYSTEM);
        if input.mode == Mode::Audit || !reaches_system {
            return Vec::new();
        }
        let exempt = &around.exempt;
        let mut all = Vec::new();
        if let Some((field, image)) = first(input, &self.sandbox, exempt) {
            let message = format!(
                "it covers `{image}`, without which no pod starts: only the sandbox image that a node names is always accepted, so exclude it, or list it in the EnforcementConfig's exemptImages"
            );
            all.push(Advice::new(field, Word::CoversSandboxImage, message));
        }
        let system = first(input, &self.system, exempt).or_else(|| self.below_host(input, exempt));
        if let Some((field, image)) = system.filter(|_| !by_the_project(&input.identities)) {
            let message = format!(
                "it covers `{image}`, which the cluster itself runs: without the right signature it cannot be pulled again. Exclude it, exempt it, or accept its signer `{SYSTEM_SIGNER}`"
            );
            all.push(Advice::new(field, Word::CoversSystemImages, message));
        }
        if let Some((field, image)) = first(input, &self.own, &BTreeSet::new()) {
            let message = format!(
                "it covers `{image}`, which is nodeseal's own and always accepted, so the policy does not hold there: exclude it to say so"
            );
            all.push(Advice::new(field, Word::CoversOwnImages, message));
        }
        all
    }

    /// A scope at the host of the system's images that is none of those named.
    fn below_host<'a>(
        &self,
        input: &'a Input,
        exempt: &BTreeSet<Scope>,
    ) -> Option<(&'a str, String)> {
        let host = self.system_host.as_ref()?;
        let (field, scope) = sorted(&input.scopes).into_iter().find(|(_, scope)| {
            let sandbox = || self.sandbox.iter().any(|image| image.holds(scope));
            holds(host, scope) && !sandbox() && left(input, scope, exempt)
        })?;
        Some((field, scope.to_string()))
    }
}

/// The first of the images that the policy covers, with the field of the scope that does.
fn first<'a>(
    input: &'a Input,
    images: &[Image],
    exempt: &BTreeSet<Scope>,
) -> Option<(&'a str, String)> {
    sorted(&input.scopes)
        .into_iter()
        .find_map(|(field, scope)| {
            let covered = |image: &&Image| {
                let narrow = if image.is_within(scope) {
                    &image.scope
                } else if image.holds(scope) {
                    scope
                } else {
                    return false;
                };
                left(input, narrow, exempt)
            };
            let image = images.iter().find(covered)?;
            Some((field.as_str(), image.scope.to_string()))
        })
}

/// Whether neither an exclude nor an exemption takes it out.
fn left(input: &Input, scope: &Scope, exempt: &BTreeSet<Scope>) -> bool {
    let lookup = scope.lookup();
    let named = |other: &Scope| lookup.iter().any(|wider| wider == other.as_str());
    !input.exclude.iter().any(|(_, exclude)| named(exclude))
        && !lookup.iter().any(|wider| exempt.contains(wider.as_str()))
}

/// Whether the signer of the project's images is accepted.
fn by_the_project(identities: &[Identity]) -> bool {
    identities.iter().any(|identity| {
        let exact = identity.subject.as_deref() == Some(SYSTEM_SIGNER);
        exact
            || identity
                .subject_reg_exp
                .as_ref()
                .and_then(|text| Pattern::reg_exp(text, &SUBJECTS).ok())
                .is_some_and(|pattern| pattern.matches(SYSTEM_SIGNER))
    })
}
