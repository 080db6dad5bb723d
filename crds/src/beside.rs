//! What stands beside the policies in a set of files, and is referred to by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::trust::TrustRoot;

use crate::convert::RootUnavailable;
use crate::keys::KeyStore;
use crate::load::SourceRef;

/// ConfigMaps, Secrets and trust roots.
#[derive(Default)]
pub(crate) struct Beside {
    /// Where keys are looked up.
    pub(crate) keys: KeyStore,
    /// Where trust roots are looked up.
    pub(crate) trust_roots: TrustRootStore,
}

/// All `TrustRoot`s by name.
#[derive(Default)]
pub(crate) struct TrustRootStore(BTreeMap<String, Result<Arc<TrustRoot>, String>>);

impl TrustRootStore {
    /// Takes in a valid one.
    pub(crate) fn insert(&mut self, name: &str, root: Arc<TrustRoot>) {
        self.0.insert(name.to_owned(), Ok(root));
    }

    /// Remembers that one of this name is there and cannot be used.
    pub(crate) fn refuse(&mut self, name: &str, source: &SourceRef) {
        let SourceRef { file, line } = source;
        let why = format!("the one in {file}:{line} is not valid, mend it first");
        // Of several the first one is told.
        let root = self
            .0
            .entry(name.to_owned())
            .or_insert_with(|| Err(why.clone()));
        if root.is_ok() {
            *root = Err(why);
        }
    }

    /// The trust root of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Arc<TrustRoot>, RootUnavailable> {
        match self.0.get(name) {
            None => Err(RootUnavailable::NoObject),
            Some(Err(why)) => Err(RootUnavailable::NotReady(why.clone())),
            Some(Ok(root)) => Ok(Arc::clone(root)),
        }
    }
}
