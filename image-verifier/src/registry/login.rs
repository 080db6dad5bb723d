//! How one host is opened: which of the node's credentials, if any, it accepts.
//!
//! Lookups run in parallel, and one of them logs in for all: what it found out is a ticket, which
//! the others take over when theirs is turned down.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use policy::verifier::Access;
use tokio::sync::Mutex;

use super::auth::{self, Authorization, Challenge};
use super::error::RegistryError;
use super::transport::Transport;
use crate::credentials::{self, Credential, Target};
use crate::environment::Environment;
use crate::reason::bounded;

/// The most bytes of a hint.
const MAX_HINT: usize = 400;

/// What a request carries, and which try it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticket {
    number: u32,
    pub(super) authorization: Option<Authorization>,
}

/// The way into one host.
#[derive(Debug)]
pub(super) struct Login<'a> {
    target: Target,
    access: &'a Access,
    environment: &'a Environment,
    root: PathBuf,
    /// How long a program that hands out credentials may take.
    time: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ticket: Ticket,
    /// What the registry asked for last.
    challenge: Option<Challenge>,
    /// What is still to be tried, nothing for anonymously; none before the registry has asked.
    left: Option<VecDeque<Option<Credential>>>,
    tried: usize,
    notes: Vec<String>,
}

impl<'a> Login<'a> {
    pub(super) fn new(
        target: Target,
        access: &'a Access,
        environment: &'a Environment,
        root: PathBuf,
        time: Duration,
    ) -> Self {
        Self {
            target,
            access,
            environment,
            root,
            time,
            state: Mutex::default(),
        }
    }

    /// What a request carries as things are.
    pub(super) async fn current(&self) -> Ticket {
        self.state.lock().await.ticket.clone()
    }

    /// The refusal of a request that carried what there is.
    pub(super) async fn denied(&self, status: u16) -> RegistryError {
        self.state.lock().await.refusal(status)
    }

    /// What to try after `used` was turned down with `status`.
    pub(super) async fn next(
        &self,
        transport: &Transport<'_>,
        used: Ticket,
        challenge: Option<Challenge>,
        status: u16,
        path: &str,
    ) -> Result<Ticket, RegistryError> {
        let mut state = self.state.lock().await;
        if state.ticket.number != used.number {
            return Ok(state.ticket.clone());
        }
        if challenge.is_some() {
            state.challenge = challenge;
        }
        let Some(challenge) = state.challenge.clone() else {
            return Err(state.refusal(status));
        };
        if state.left.is_none() {
            let found = credentials::find(
                &self.target,
                self.access,
                self.environment,
                &self.root,
                self.time,
            )
            .await;
            state.notes = found.notes;
            let mut left: VecDeque<_> = found.credentials.into_iter().map(Some).collect();
            if left.is_empty() {
                left.push_back(None);
            }
            state.left = Some(left);
        }
        while let Some(credential) = state.left.as_mut().and_then(VecDeque::pop_front) {
            state.tried += usize::from(credential.is_some());
            let answer = auth::answer(transport, &challenge, credential.as_ref(), path).await?;
            if answer.is_some() {
                state.ticket = Ticket {
                    number: used.number + 1,
                    authorization: answer,
                };
                return Ok(state.ticket.clone());
            }
        }
        Err(state.refusal(status))
    }
}

impl State {
    fn refusal(&self, status: u16) -> RegistryError {
        let mut hint = match (&self.left, self.tried) {
            (None, _) => String::new(),
            (_, 0) => "; the node has no credentials for it".to_owned(),
            (_, tried) => format!("; {tried} of the node's credentials were tried"),
        };
        for note in &self.notes {
            hint.push_str("; ");
            hint.push_str(note);
        }
        RegistryError::Denied {
            status,
            hint: bounded(&hint, MAX_HINT),
        }
    }
}
