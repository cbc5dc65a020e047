//! How to call one Odoo database, and where a host finds that out.

use crate::Mirror;
use crate::session::Session;
use crate::source::Fetcher;
use crate::store::logins;
use crate::store::statements::quote_literal;
use ipai_odoo::error::Result;
use ipai_odoo::http::{Endpoint, shown};
use ipai_odoo::retry::Policy;
use ipai_odoo::{Account, Addon, ServerInfo};

/// Everything to call one Odoo database.
pub struct Connection {
    /// Name of the server.
    pub server: String,
    /// How to reach the server.
    pub endpoint: Endpoint,
    /// Who calls which database.
    pub account: Account,
    /// Whether to use Odoo's addon if it is installed.
    pub use_addon: bool,
}

/// Where a host finds Odoo's credentials.
pub trait Accounts {
    /// The connection of a server, or of the only one, for the current user. If there are several,
    /// the error has the hint `choose`.
    fn open(&self, session: &mut dyn Session, server: Option<&str>, choose: &str) -> Result<Connection>;
}

impl dyn Accounts + '_ {
    /// The connection of a mirror's server.
    pub fn of_mirror(&self, session: &mut dyn Session, mirror: &Mirror) -> Result<Connection> {
        let choose = format!("select ipai.alter_mirror({}, server => '...');", quote_literal(&mirror.name));
        self.open(session, mirror.server.as_deref(), &choose)
    }
}

impl Connection {
    /// The address, without secrets.
    pub fn url(&self) -> String {
        shown(&self.endpoint.url)
    }

    /// What is known about the addon, unless it must not be used.
    pub fn addon(&self, known: Addon) -> Addon {
        match self.use_addon {
            true => known,
            false => Addon::Unwanted,
        }
    }

    /// Starts a fetching thread that uses the stored login, if there is one.
    pub fn fetcher(&self, session: &mut dyn Session, retries: Policy) -> Result<Fetcher> {
        let known = logins::stored(session, self)?;
        let (endpoint, account) = (self.endpoint.clone(), self.account.clone());
        Fetcher::start(endpoint, account, retries, known, session.ticker())
    }

    /// Starts a fetching thread for a person who waits: it logs in anew and retries nothing.
    pub fn fresh_fetcher(&self, session: &dyn Session) -> Result<Fetcher> {
        let known = ServerInfo { addon: self.addon(Addon::Unknown), ..ServerInfo::default() };
        let (endpoint, account) = (self.endpoint.clone(), self.account.clone());
        Fetcher::start(endpoint, account, Policy::NONE, known, session.ticker())
    }

    /// Stores what this fetcher learned about the server.
    pub fn store_findings(&self, session: &mut dyn Session, fetcher: &Fetcher) -> Result<()> {
        let info = fetcher.run(|client| Ok(client.server_info().clone()))?;
        logins::store(session, self, &info)
    }
}
