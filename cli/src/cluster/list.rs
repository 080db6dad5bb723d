//! Whole collections, page by page.

use std::fmt::Debug;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use super::{DEADLINE, Trouble};

/// How many objects a page holds.
const PAGE: u32 = 500;

/// All objects of the kind that is called `what`, each handed on as it comes: what is kept of them is
/// up to `keep`.
pub(crate) async fn list<K, T>(
    api: &Api<K>,
    what: &str,
    keep: impl Fn(K) -> T,
) -> Result<Vec<T>, Trouble>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut kept = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    let mut again = true;
    loop {
        let page = tokio::time::timeout(DEADLINE, api.list(&params)).await;
        match page.map_err(|_| Trouble::late(what))? {
            Ok(page) => {
                kept.extend(page.items.into_iter().map(&keep));
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => return Ok(kept),
                }
            }
            // The pages are of one moment, which the server has forgotten: from the beginning, once.
            Err(kube::Error::Api(status)) if status.code == 410 && again => {
                again = false;
                kept.clear();
                params.continue_token = None;
            }
            Err(error) => return Err(Trouble::of(what, &error)),
        }
    }
}
