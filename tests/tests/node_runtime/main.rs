//! The runtime of a node as the agent sees it: a real containerd, and the stand-in of CRI-O's
//! socket.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

mod containerd;
mod crio;

use std::path::Path;
use std::time::Duration;

use node_runtime::cri::{self, Client};

/// How long a pull may take, on a machine with other things to do.
const PULL: Duration = Duration::from_mins(1);

fn client(socket: &Path) -> Client {
    Client::new(socket, Duration::from_secs(30))
}

/// All names of the images on a node.
async fn names(client: &Client) -> Result<Vec<String>, cri::Error> {
    let images = client.images().await?.into_iter();
    Ok(images
        .flat_map(|image| [image.tags, image.digests].concat())
        .collect())
}
