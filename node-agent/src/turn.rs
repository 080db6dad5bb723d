//! One turn: look at the runtime and at the files, and do what that asks for, until nothing does.

use std::pin::pin;

use jiff::Timestamp;
use node_runtime::probe::{Doubt, Proof};

use crate::agent::{Agent, Look, Wants};
use crate::books::Books;
use crate::hands::{Done, Hands};
use crate::watch::{Change, Changes};

/// The most things that are done before a status is told. What is left follows at once.
const MOST: usize = 8;

/// Takes a turn. The second part is what is left to do, now or later.
///
/// While the runtime is waited for, whatever `changes` tells of on the node is put back.
pub async fn turn(
    agent: &mut Agent,
    hands: Option<&mut Hands>,
    mut books: Option<&mut Books>,
    mut changes: Option<&mut Changes>,
) -> (Look, Wants) {
    let Some(hands) = hands else {
        let wants = agent.bring();
        if let Some(books) = books {
            books.turned(agent, &wants);
        }
        return (agent.conclude(Timestamp::now()), wants);
    };
    // What is known of the runtime does for putting a file back; asking it takes time.
    if agent.knows() {
        agent.bring();
    }
    let mut wants = Wants::default();
    for _ in 0..MOST {
        let (live, _) = keeping(agent, changes.as_deref_mut(), hands.look()).await;
        agent.see(live);
        wants = agent.bring();
        let act = keeping(agent, changes.as_deref_mut(), hands.act(&wants));
        let (Some(done), is_more) = Box::pin(act).await else {
            break;
        };
        if let Some(books) = &mut books {
            books.done(&done);
        }
        match done {
            Done::Pulled(pulled) => agent.pulled(pulled),
            Done::Restarted(restarted) => agent.restarted(&restarted, wants.subject.as_ref()),
            Done::Proven(prove, proof) => {
                let taken = matches!(
                    &proof,
                    Proof::Unknown {
                        why: Doubt::PortTaken(_)
                    }
                );
                let back = agent.proven(&prove, proof);
                if taken {
                    agent.forget_port();
                } else if !back && !is_more {
                    break;
                }
            }
        }
    }
    if let Some(books) = books {
        books.turned(agent, &wants);
    }
    (agent.conclude(Timestamp::now()), wants)
}

/// Waits for something of the runtime's, and puts back meanwhile what changes on the node. The second
/// part tells whether policies changed, which are read later.
async fn keeping<T>(
    agent: &mut Agent,
    changes: Option<&mut Changes>,
    awaited: impl Future<Output = T>,
) -> (T, bool) {
    let Some(changes) = changes else {
        return (awaited.await, false);
    };
    let mut awaited = pin!(awaited);
    let mut is_more = false;
    loop {
        tokio::select! {
            biased;
            done = &mut awaited => return (done, is_more),
            Some(change) = changes.recv() => match change {
                Change::Node if agent.knows() => drop(agent.bring()),
                Change::Node => {}
                Change::Policies => is_more = true,
            },
        }
    }
}
