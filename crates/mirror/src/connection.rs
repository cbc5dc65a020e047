//! The connection to one Odoo database, and the trait by which a host provides it.

use crate::Mirror;
use crate::session::Session;
use crate::source::Fetcher;
use crate::store::logins;
use crate::store::statements::quote_literal;
use ipai_odoo::error::Result;
use ipai_odoo::http::{Endpoint, shown};
use ipai_odoo::options::Protocol;
use ipai_odoo::retry::Policy;
use ipai_odoo::{Account, Addon, ServerInfo};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Everything to call one Odoo database.
#[derive(Clone, PartialEq)]
pub struct Connection {
    /// Name of the server.
    pub server: String,
    /// How to reach the server.
    pub endpoint: Endpoint,
    /// Database, login and password.
    pub account: Account,
    /// Whether to use Odoo's addon if it is installed.
    pub use_addon: bool,
    /// Which wire formats to use.
    pub protocol: Protocol,
}

/// The fetching threads that runs left to the next runs of their host. So the mirrors of a server
/// share a connection, a login, and what Odoo told about its database.
pub struct Fetchers {
    idle: Vec<(Connection, Fetcher)>,
    retries: Policy,
}

impl Default for Fetchers {
    fn default() -> Self {
        Fetchers { idle: Vec::new(), retries: Policy::SYNC }
    }
}

impl Fetchers {
    /// Fetching threads that retry nothing, for a follower, which asks again anyway.
    pub fn without_retries() -> Self {
        Fetchers { retries: Policy::NONE, ..Fetchers::default() }
    }

    /// The fetching thread of a connection, or else a new one. Each run looks up its connection
    /// anew: the server, the mapping and the password are those of now.
    pub fn take(&mut self, session: &mut dyn Session, connection: &Connection) -> Result<Fetcher> {
        let place = self.idle.iter().position(|(known, _)| known.server == connection.server);
        match place.map(|place| self.idle.swap_remove(place)) {
            Some((known, mut fetcher)) if known == *connection => {
                fetcher.begin_run()?;
                Ok(fetcher)
            }
            _ => connection.fetcher(session, self.retries),
        }
    }

    /// Leaves the fetching thread of a run that succeeded to the next run.
    pub fn leave(&mut self, connection: Connection, fetcher: Fetcher) {
        self.idle.push((connection, fetcher));
    }
}

/// Where a host finds Odoo's credentials.
pub trait Accounts {
    /// The connection of a server, or of the only one, for the current user. If there are several,
    /// the error has the hint `if_several`.
    fn open(&self, session: &mut dyn Session, server: Option<&str>, if_several: &str) -> Result<Connection>;

    /// The oid of the server of this name, if the database knows it. Fails if there is no such
    /// server.
    fn server_oid(&self, session: &mut dyn Session, server: &str) -> Result<Option<i64>>;
}

/// Accounts that open each server once, for the mirrors of one transaction.
pub struct OpenedOnce<'a> {
    accounts: &'a dyn Accounts,
    opened: RefCell<BTreeMap<Option<String>, Connection>>,
}

impl<'a> OpenedOnce<'a> {
    /// Accounts of which no server is open.
    pub fn new(accounts: &'a dyn Accounts) -> Self {
        OpenedOnce { accounts, opened: RefCell::default() }
    }
}

impl Accounts for OpenedOnce<'_> {
    fn open(&self, session: &mut dyn Session, server: Option<&str>, if_several: &str) -> Result<Connection> {
        let key = server.map(str::to_owned);
        if let Some(opened) = self.opened.borrow().get(&key) {
            return Ok(opened.clone());
        }
        let connection = self.accounts.open(session, server, if_several)?;
        self.opened.borrow_mut().insert(key, connection.clone());
        Ok(connection)
    }

    fn server_oid(&self, session: &mut dyn Session, server: &str) -> Result<Option<i64>> {
        self.accounts.server_oid(session, server)
    }
}

impl dyn Accounts + '_ {
    /// The connection of a mirror's server.
    pub fn of_mirror(&self, session: &mut dyn Session, mirror: &Mirror) -> Result<Connection> {
        let choose = format!("select ipai.alter_mirror({}, server => '...');", quote_literal(&mirror.name));
        let connection = self.open(session, mirror.server.as_deref(), &choose)?;
        let params = [(&mirror.name).into(), (&connection.server).into()];
        session.first("select ipai.verify_server($1, $2)", &params, |_| Ok(()))?;
        Ok(connection)
    }
}

impl Connection {
    /// The address, without secrets.
    pub fn url(&self) -> String {
        shown(&self.endpoint.url)
    }

    /// What a client must know: what earlier clients found out, as far as the options of the server
    /// allow its use.
    pub fn allowed(&self, known: ServerInfo) -> ServerInfo {
        let addon = if self.use_addon { known.addon } else { Addon::Unwanted };
        ServerInfo { addon, json2: self.protocol.json2(known.json2), ..known }
    }

    /// Starts a fetching thread that uses the stored login, if there is one.
    pub fn fetcher(&self, session: &mut dyn Session, retries: Policy) -> Result<Fetcher> {
        let known = self.allowed(logins::stored(session, &self.url(), &self.account)?);
        let (endpoint, account) = (self.endpoint.clone(), self.account.clone());
        Fetcher::start(endpoint, account, retries, known, session.ticker())
    }

    /// Starts a fetching thread for an interactive call, which logs in anew and retries nothing.
    pub fn fresh_fetcher(&self, session: &dyn Session) -> Result<Fetcher> {
        let known = self.allowed(ServerInfo::default());
        let (endpoint, account) = (self.endpoint.clone(), self.account.clone());
        Fetcher::start(endpoint, account, Policy::NONE, known, session.ticker())
    }

    /// Stores what this fetcher learned about the server.
    pub fn store_findings(&self, session: &mut dyn Session, fetcher: &Fetcher) -> Result<()> {
        let info = fetcher.run(|client| Ok(client.server_info().clone()))?;
        self.store_info(session, &info)
    }

    /// Stores what a run learned about the server.
    pub fn store_info(&self, session: &mut dyn Session, info: &ServerInfo) -> Result<()> {
        logins::store(session, &self.url(), &self.account, info)
    }
}
