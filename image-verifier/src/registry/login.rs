//! How one host is opened: which of the node's credentials, if any, it accepts.
//!
//! Lookups run in parallel, and one of them logs in for all: what it found out is a ticket, which
//! the others take over when theirs is turned down.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use policy::verifier::Access;
use tokio::sync::Mutex;

use super::auth::{self, Asked, Authorization, Challenge, Reply};
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
    /// The first failure of the token service: everything after it may well come of it.
    failure: Option<RegistryError>,
    /// Which token service first refused a token, and with which status.
    unserved: Option<(String, u16)>,
    /// A token service that is not asked, and why.
    refused: Option<String>,
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
        asked: Asked,
        status: u16,
        path: &str,
    ) -> Result<Ticket, RegistryError> {
        let mut state = self.state.lock().await;
        if state.ticket.number != used.number {
            return Ok(state.ticket.clone());
        }
        if asked.challenge.is_some() {
            state.challenge = asked.challenge;
        }
        if asked.refused.is_some() {
            state.refused = asked.refused;
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
            let answer = auth::answer(transport, &challenge, credential.as_ref(), path).await;
            match answer {
                Ok(Reply::Use(authorization)) => {
                    state.ticket = Ticket {
                        number: used.number + 1,
                        authorization: Some(authorization),
                    };
                    return Ok(state.ticket.clone());
                }
                Ok(Reply::None) => {}
                Ok(Reply::Refused { status }) => {
                    let service = challenge.service().unwrap_or_default();
                    state.unserved.get_or_insert((service, status));
                }
                Err(error) => {
                    state.failure.get_or_insert(error);
                }
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
        if let Some((service, status)) = &self.unserved {
            // Writing to a String cannot fail.
            let _ = write!(hint, "; the token service {service}: HTTP status {status}");
        }
        for note in self.refused.iter().chain(&self.notes) {
            hint.push_str("; ");
            hint.push_str(note);
        }
        let hint = bounded(&hint, MAX_HINT);
        match &self.failure {
            None => RegistryError::Denied { status, hint },
            // What had no answer may be let in with one.
            Some(RegistryError::Transient { cause }) => RegistryError::Transient {
                cause: format!(
                    "{cause}, and without a token the registry denies access (HTTP status {status}){hint}"
                ),
            },
            Some(error) => error.clone(),
        }
    }
}
