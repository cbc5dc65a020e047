//! Defines what the client requires of a network.

use crate::error::Error;
use crate::secret::Secret;
use chrono::{DateTime, Utc};
use std::fmt;
use std::time::Duration;

/// Sends requests to an Odoo server.
pub trait Transport {
    /// Sends a request. Returns the answer if its status is 200 or it is an error of JSON-2, and if
    /// it has at most `max_bytes` bytes after decompression. Otherwise it returns a [`Failure`],
    /// which says whether the request may be sent again.
    fn send(&mut self, request: Request, max_bytes: usize) -> Result<Reply, Failure>;

    /// Sends several requests at the same time, and returns their results in the same order.
    fn send_all(&mut self, requests: Vec<Request>, max_bytes: usize) -> Vec<Result<Reply, Failure>> {
        requests.into_iter().map(|request| self.send(request, max_bytes)).collect()
    }

    /// Waits before a retry. An error, such as [`Error::Cancelled`], ends the call.
    fn pause(&mut self, pause: Duration) -> Result<(), Error>;
}

/// A request to Odoo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path of the URL.
    pub path: String,
    /// What the request sends.
    pub content: Content,
}

/// What a request sends.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing, with the method GET.
    Nothing,
    /// A document of XML-RPC, which contains database and password.
    Xml {
        /// The document.
        body: String,
        /// Name of the database in Odoo.
        dbname: String,
    },
    /// A document of JSON-2, with database and API key in headers.
    Json {
        /// The named arguments.
        body: String,
        /// The API key.
        key: Secret,
        /// Name of the database in Odoo.
        dbname: String,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::Nothing => "Nothing",
            // It contains the password.
            Content::Xml { .. } => "Xml(***)",
            Content::Json { .. } => "Json(***)",
        })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status: 200, or that of an error of JSON-2.
    pub status: u16,
    /// The `Date` header, which is the clock of the server.
    pub date: Option<DateTime<Utc>>,
    /// The body after decompression.
    pub body: Vec<u8>,
    /// Duration of the exchange.
    pub took: Duration,
}

impl Default for Reply {
    /// An empty answer of status 200.
    fn default() -> Self {
        Reply { status: 200, date: None, body: Vec::new(), took: Duration::ZERO }
    }
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
