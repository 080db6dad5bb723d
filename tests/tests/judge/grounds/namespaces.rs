//! Policies of a namespace, on top of those of the cluster.

use anyhow::Result;

use super::{REJECTED, STRANGER, UNSIGNED};
use crate::case::{Case, With as _, policy};
use crate::world::World;

pub(super) async fn cases(world: &World) -> Result<Vec<Case>> {
    let [a, b, _] = &world.signers;
    let scope = world.scope("tenants");
    let trusted = world.signed("tenants/trusted", "v1", &[a]).await?;
    let untrusted = world.signed("tenants/untrusted", "v1", &[b]).await?;
    let both = world.signed("tenants/both", "v1", &[a, b]).await?;
    let unsigned = world.image("tenants/unsigned", "v1").await?;

    let team = policy("own", &[&scope]).by(&a.pem).namespaced("team");
    let cluster = policy("wide", &[&scope]).by(&b.pem);
    let only_team = |what, image| Case::new(what, image).policy(&team);
    let also_cluster = |what, image| only_team(what, image).policy(&cluster);
    Ok(vec![
        // The four scenarios.
        only_team("a trusted signer in the namespace", &trusted).namespace("team"),
        only_team("an untrusted signer in the namespace", &untrusted)
            .namespace("team")
            .refused(STRANGER),
        only_team("an untrusted signer in another namespace", &untrusted).namespace("other"),
        only_team("an unsigned image in another namespace", &unsigned).namespace("other"),
        only_team("an unsigned image in the namespace", &unsigned)
            .namespace("team")
            .refused(UNSIGNED),
        // The namespace's file replaces the cluster's, so it must hold both.
        also_cluster("the namespace adds to the cluster", &untrusted)
            .namespace("team")
            .refused(STRANGER),
        also_cluster(
            "the cluster's policy still counts in the namespace",
            &trusted,
        )
        .namespace("team")
        .refused(STRANGER),
        also_cluster("signed for the cluster and for the namespace", &both).namespace("team"),
        also_cluster("only the cluster's policy counts elsewhere", &untrusted).namespace("other"),
        also_cluster("the cluster's policy counts elsewhere", &trusted)
            .namespace("other")
            .refused(STRANGER),
        only_team("a namespace's policy under Reject", &trusted)
            .namespace("team")
            .reject(),
        only_team("another namespace under Reject", &trusted)
            .namespace("other")
            .reject()
            .refused(REJECTED),
        only_team("a node whose CRI-O keeps no namespaces apart", &unsigned)
            .namespace("team")
            .version(30)
            .differs("below CRI-O 1.31 a namespaced policy is NotExpressible and left out"),
    ])
}
