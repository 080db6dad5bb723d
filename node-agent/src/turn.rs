//! One turn: look at the runtime and at the files, and do what that asks for, until nothing does.

use jiff::Timestamp;
use node_runtime::probe::{Doubt, Proof};

use crate::agent::{Agent, Look, Wants};
use crate::books::Books;
use crate::hands::{Done, Hands};

/// The most things that are done before a status is told. What is left follows at once.
const MOST: usize = 8;

/// Takes a turn. The second part is what is left to do, now or later.
pub async fn turn(
    agent: &mut Agent,
    hands: Option<&mut Hands>,
    mut books: Option<&mut Books>,
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
        agent.see(hands.look().await);
        wants = agent.bring();
        let Some(done) = hands.act(&wants).await else {
            break;
        };
        if let Some(books) = &mut books {
            books.done(&done);
        }
        match done {
            Done::Pulled(pulled) => agent.pulled(pulled),
            Done::Restarted(restarted) => agent.restarted(&restarted),
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
                } else if !back {
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
