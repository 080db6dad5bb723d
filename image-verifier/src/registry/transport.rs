//! One request, with what a network does to it: redirects, failures that pass, plain answers to TLS.

use std::error::Error as _;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::body::Budget;
use super::client::Clients;
use super::error::RegistryError;
use super::reach;
use crate::hosts::Host;

/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;
/// How often a request is sent in all where another host could not answer instead.
pub(super) const ATTEMPTS: u32 = 3;
/// The pause before the second attempt; it triples with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that a registry may ask for. Past it, the answer counts as it is: there would
/// be no time left to do anything with a better one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How a host is reached, and what it leads to.
#[derive(Debug)]
pub(super) struct Ways<'a> {
    pub(super) host: Host,
    /// The client for the host itself.
    pub(super) own: Client,
    pub(super) clients: Rc<Clients<'a>>,
}

/// How requests are sent for one host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transport<'a> {
    pub(super) ways: &'a Ways<'a>,
    /// Where the registry is.
    pub(super) base: &'a Url,
    pub(super) budget: &'a Budget,
    /// How often a request is sent at the most.
    pub(super) attempts: u32,
}

impl Transport<'_> {
    /// The client for what is at `url`.
    pub(super) fn client(&self, url: &Url) -> Result<Client, RegistryError> {
        if url.origin() == self.base.origin() {
            return Ok(self.ways.own.clone());
        }
        let Ways { host, clients, .. } = self.ways;
        clients.elsewhere(host, self.base, url)
    }

    /// Fetches `url` and what it redirects to. What `decorate` adds, credentials among it, goes
    /// only to where `url` itself is.
    pub(super) async fn follow(
        &self,
        url: &Url,
        decorate: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let failed = |cause: &str| RegistryError::Transient {
            cause: cause.to_owned(),
        };
        let mut target = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self.client(&target)?.get(target.clone());
            let request = if target.origin() == url.origin() {
                decorate(request)
            } else {
                request
            };
            let response = self.attempt(request).await?;
            let Some(next) = redirection(&response) else {
                return Ok(response);
            };
            if !reach::may_lead(&target, &next) {
                return Err(failed(
                    "a redirect from another machine to this one is not followed",
                ));
            }
            let plain = next.scheme() == "http";
            let stays_local = [&target, &next].into_iter().all(reach::is_on_this_machine);
            // To TLS, or from plain HTTP on this machine to the same, or within a plain registry.
            let allowed = next.scheme() == "https"
                || plain
                    && target.scheme() == "http"
                    && (stays_local || next.origin() == url.origin());
            if !allowed {
                return Err(failed("a redirect to plain http is not followed"));
            }
            target = next;
        }
        Err(failed(&format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Sends a request, again if a failure may pass by itself.
    pub(super) async fn attempt(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..self.attempts {
            let Some(this) = request.try_clone() else {
                break;
            };
            let wait = match this.send().await {
                Ok(response) if is_passing(response.status()) => match asked_pause(&response) {
                    None => pause,
                    Some(asked) if asked <= LONGEST_PAUSE => asked,
                    Some(_) => return Ok(response),
                },
                Ok(response) => return Ok(response),
                Err(error) if is_lost(&error) => pause,
                Err(error) => return Err(error.into()),
            };
            tokio::time::sleep(wait).await;
            pause *= 3;
        }
        Ok(request.send().await?)
    }
}

/// Where an answer leads.
fn redirection(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

/// Whether the same request may be answered better in a moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a connection was lost after it had come about. One that does not come about at all will
/// not do so in a moment, either, nor will one that the other side has ended for a reason of TLS.
fn is_lost(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout() && tls_error(error).is_none()
}

/// The seconds of `Retry-After`. A date is as good as too long.
fn asked_pause(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(
        value
            .trim()
            .parse()
            .map_or(Duration::MAX, Duration::from_secs),
    )
}

/// Whether the other side does not speak TLS: it answers the greeting in plain text. A certificate
/// that is not believed is something else.
pub(super) fn is_no_tls(error: &reqwest::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidMessage(_)))
}

/// What TLS says about a failure.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An IO error hides what it wraps from those who go by its sources.
        source = match error.downcast_ref().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
