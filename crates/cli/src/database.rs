//! The connection to the database that holds the mirrors: its address, TLS, and poolers.

use crate::session::{Console, Tls, WireSession};
use crate::signals;
use ipai_mirror::definition::nearest;
use ipai_mirror::refusal::{invalid, refused};
use ipai_mirror::session::Session;
use ipai_odoo::error::{Error, Result, SqlState};
use ipai_odoo::secret::Secret;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use url::Url;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server's machine may be silent, with a probe or data unanswered, before the
/// connection is lost.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a pooler may take to find a second session.
const POOLER_PATIENCE: Duration = Duration::from_secs(3);

/// Parameters of an address that the program understands.
const PARAMETERS: [&str; 4] = ["application_name", "connect_timeout", "sslmode", "sslrootcert"];

/// An address of a database, taken apart.
pub struct Database {
    config: Config,
    tls: Tls,
    /// Whether `sslrootcert` names the authorities to trust.
    has_own_root: bool,
    console: Arc<dyn Console>,
}

impl Database {
    /// Parses an address of the form `postgresql://user:password@host:port/dbname?sslmode=...`. No
    /// error quotes it, because it holds a password.
    pub fn parse(address: &Secret, console: Arc<dyn Console>) -> Result<Self> {
        let mut url = Url::parse(address.reveal().trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "postgres" | "postgresql") && url.fragment().is_none());
        let url = url.as_mut().ok_or_else(malformed)?;
        let (mut mode, mut root, mut name, mut patience) = (None, None, "ipai-sync".to_owned(), CONNECT_TIMEOUT);
        for (parameter, value) in url.query_pairs() {
            match parameter.as_ref() {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => root = Some(value.into_owned()),
                "application_name" => name = value.into_owned(),
                "connect_timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| (1..=300).contains(seconds));
                    patience = Duration::from_secs(seconds.ok_or_else(|| {
                        invalid("invalid connect_timeout in DATABASE_URL", "It is a number of seconds from 1 to 300.")
                    })?);
                }
                other => return Err(unknown_parameter(other)),
            }
        }
        url.set_query(None);
        let mut config: Config = url.as_str().parse().map_err(|_| malformed())?;
        if config.get_hosts().len() != 1 {
            return Err(malformed());
        }
        config.application_name(name).connect_timeout(patience);
        // A machine that vanishes must not keep its locks, nor a run wait for it. Linux sends no
        // keepalives while sent data is unacknowledged, and would repeat the data for 15 minutes.
        config
            .keepalives_idle(SILENCE / 2)
            .keepalives_interval(SILENCE / 6)
            .keepalives_retries(3)
            .tcp_user_timeout(SILENCE);
        let is_local = config.get_hosts().iter().all(is_local);
        let uses_tls = match mode.as_deref() {
            None => !is_local,
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => {
                return Err(invalid(
                    "invalid sslmode in DATABASE_URL",
                    "Valid values are disable, require, verify-ca and verify-full. All but disable verify the \
                     certificate and the name of the host.",
                ));
            }
        };
        config.ssl_mode(if uses_tls { SslMode::Require } else { SslMode::Disable });
        // As libpq names the public authorities.
        let root = root.filter(|root| root != "system");
        let tls = Tls::new(root.as_deref().map(Path::new))?;
        Ok(Database { config, tls, has_own_root: root.is_some(), console })
    }

    /// Connects.
    pub fn connect(&self) -> Result<WireSession> {
        self.open().map_err(|error| self.explain(error))
    }

    fn open(&self) -> Result<WireSession> {
        WireSession::open(&self.config, &self.tls, signals::tick, Arc::clone(&self.console))
    }

    /// Connects beside the session of the command, which is the one that a signal ends.
    pub fn connect_beside(&self) -> Result<WireSession> {
        let opened = WireSession::open(&self.config, &self.tls, || Ok(()), Arc::clone(&self.console));
        opened.map_err(|error| self.explain(error))
    }

    /// Connects for runs. They need a session of their own, for the locks of mirrors.
    pub fn connect_for_runs(&self) -> Result<WireSession> {
        let mut session = self.connect()?;
        if self.shares_sessions(&mut session)? {
            return Err(refused(
                SqlState::FeatureNotSupported,
                "the connection pooler is in transaction mode",
                "Use the pooler in session mode, or connect to the database itself. On Supabase: Connect, Session \
                 pooler; its port is 5432.",
            )
            .with_detail("A run holds the lock of its mirror over many transactions, which need the same session."));
        }
        session.query(include_str!("sql/session.sql"), &[], &mut |_| Ok(()))?;
        session.commit()?;
        Ok(session)
    }

    /// Whether a pooler lends the server's sessions for single transactions. A pooler without other
    /// clients lends the same one each time, so another connection competes for it.
    fn shares_sessions(&self, session: &mut WireSession) -> Result<bool> {
        let first = backend(session)?;
        session.commit()?;
        // A pooler in session mode may have no session left, which proves that it shares none.
        let Ok(other) = self.open() else { return Ok(false) };
        let mut other = other.with_deadline(Instant::now() + POOLER_PATIENCE);
        // Its transaction stays open, and so keeps its session.
        let Ok(theirs) = backend(&mut other) else { return Ok(false) };
        let again = backend(session)?;
        session.commit()?;
        other.rollback()?;
        Ok(theirs == first || again != first)
    }

    /// Adds to an error of the connection what the address tells about its cause.
    fn explain(&self, error: Error) -> Error {
        let detail = error.detail().unwrap_or_default();
        let host = match self.config.get_hosts() {
            [Host::Tcp(host)] => host.as_str(),
            _ => "",
        };
        let is_unencrypted = self.config.get_ssl_mode() == SslMode::Disable;
        let hint = if detail.contains("not valid for name") {
            "The certificate of the database is for another host. Use the host name that it has in DATABASE_URL."
        } else if detail.contains("certificate expired") {
            "The certificate of the database has expired. Renew it."
        } else if detail.contains("certificate not valid yet") {
            "The certificate of the database is not valid yet. Check the clocks of both machines."
        } else if detail.contains("CaUsedAsEndEntity") {
            "The certificate of the database is that of an authority. Sign one for the server with it, and name the \
             authority's certificate in sslrootcert of DATABASE_URL."
        } else if detail.contains("UnknownIssuer") && self.has_own_root {
            "The certificate of the database is not signed by an authority in the file that sslrootcert names. Download \
             the CA of the database anew (Supabase: Database, Settings, SSL configuration)."
        } else if detail.contains("UnknownIssuer") {
            "The certificate of the database is not signed by a public authority. Download its CA (Supabase: Database, \
             Settings, SSL configuration) and add sslrootcert=PATH to DATABASE_URL."
        } else if host.starts_with("db.") && host.ends_with(".supabase.co") {
            "The direct address of a Supabase project has IPv6 only. Use the address of the session pooler: Connect, \
             Session pooler."
        } else if detail.contains("does not support TLS") {
            "Check host and port in DATABASE_URL. If the server has no TLS and the network between is private, add \
             sslmode=disable to DATABASE_URL."
        } else {
            match error.sqlstate() {
                "28000" if is_unencrypted => {
                    "Check the user in DATABASE_URL. If the database requires TLS, remove sslmode=disable."
                }
                "08001" => "Check host and port in DATABASE_URL, and that the database accepts connections.",
                "28P01" | "28000" => {
                    "Check user and password in DATABASE_URL. Percent-encode special characters in them."
                }
                "3D000" => "Check the name of the database in DATABASE_URL.",
                _ => return error,
            }
        };
        match error.hint() {
            Some(_) => error,
            None => error.with_hint(hint),
        }
    }
}

fn backend(session: &mut dyn Session) -> Result<i32> {
    let pid = session.first("select pg_catalog.pg_backend_pid()", &[], |row| row.get(0))?;
    pid.ok_or_else(|| ipai_mirror::session::internal("no backend"))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(host) => {
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

fn malformed() -> Error {
    invalid(
        "DATABASE_URL is not the address of a database",
        "It has the form postgresql://USER:PASSWORD@HOST:5432/DATABASE. Percent-encode special characters in the \
         password: / is %2F, # is %23, ? is %3F, @ is %40.",
    )
}

fn unknown_parameter(parameter: &str) -> Error {
    let near = match nearest(parameter, PARAMETERS).into_iter().next() {
        Some(near) => format!("Perhaps you mean {near}. "),
        None => String::new(),
    };
    let hint = format!("{near}Valid parameters are {}.", PARAMETERS.join(", "));
    invalid(format!("unknown parameter \"{parameter}\" in DATABASE_URL"), hint)
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
