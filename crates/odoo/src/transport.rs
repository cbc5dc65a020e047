//! Defines what the client requires of a network.

use crate::error::Error;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Sends requests to an Odoo server.
pub trait Transport {
    /// Posts `body` to `path`. Returns the answer if its status is 200 and it has at most
    /// `max_bytes` bytes after decompression, otherwise a [`Failure`], which says whether the
    /// request may be sent again.
    fn post(&mut self, path: &str, body: String, max_bytes: usize) -> Result<Reply, Failure>;

    /// Posts several bodies at the same time, and returns their results in the same order.
    fn post_all(&mut self, path: &str, bodies: Vec<String>, max_bytes: usize) -> Vec<Result<Reply, Failure>> {
        bodies.into_iter().map(|body| self.post(path, body, max_bytes)).collect()
    }

    /// Waits before a retry. An error, such as [`Error::Cancelled`], ends the call.
    fn pause(&mut self, pause: Duration) -> Result<(), Error>;
}

/// An answer of HTTP status 200.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The `Date` header, which is the clock of the server.
    pub date: Option<DateTime<Utc>>,
    /// The body after decompression.
    pub body: Vec<u8>,
    /// Duration of the exchange.
    pub took: Duration,
}

/// A failed exchange.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The error for the user.
    pub error: Error,
    /// Whether the client may send the request again.
    pub resend: Resend,
}

impl Failure {
    /// A failure after which the client must not send the request again.
    pub fn never(error: Error) -> Self {
        Failure { error, resend: Resend::Never }
    }
}

/// Whether the client may send the same request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// No, because it would fail again.
    Never,
    /// Only if the request changes nothing, because Odoo may have executed it.
    IfHarmless {
        /// The `Retry-After` header.
        after: Option<Duration>,
    },
    /// Yes, because Odoo did not receive the request.
    Always,
}
