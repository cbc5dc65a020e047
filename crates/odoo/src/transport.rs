//! What the protocol needs of a network.

use crate::error::Error;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// HTTP exchanges, one after the other, and a pause between two.
pub trait Transport {
    /// Posts `body` to `path` of the Odoo server and returns its answer of status 200, read to the end.
    fn post(&mut self, path: &str, body: String) -> Result<Reply, Failure>;

    /// Waits before a retry; an error ends the call.
    fn pause(&mut self, pause: Duration) -> Result<(), Error>;
}

/// An answer of HTTP status 200.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The `Date` header: the server's clock when it answered.
    pub date: Option<DateTime<Utc>>,
    pub body: Vec<u8>,
    /// From the beginning of the exchange to its end.
    pub took: Duration,
}

/// An exchange that brought no answer of status 200.
#[derive(Debug, Clone)]
pub struct Failure {
    pub error: Error,
    pub resend: Resend,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// It would fail again.
    Never,
    /// Odoo may have carried the request out, so only one that changes nothing may be sent again, after
    /// `Retry-After` where the answer had one.
    IfHarmless { after: Option<Duration> },
    /// Odoo never saw the request.
    Always,
}
