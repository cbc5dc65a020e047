//! [`Session`] over Postgres's wire protocol.
//!
//! `begin`, `savepoint` and `release` are sent together with the next statement, so they cost no
//! round trip. A transaction begins with its first statement: after a commit nothing is open while
//! a run waits for Odoo. Statements are not prepared, because a pooler may not support it.

mod cancel;
mod failure;
mod param;
mod row;
mod tls;

pub use tls::Tls;

use cancel::{Address, Canceller};
use futures_util::TryStreamExt;
use ipai_mirror::engine::Progress;
use ipai_mirror::session::{Param, Session, Tick, Visitor, Work, internal};
use ipai_odoo::error::Result;
use param::WireParam;
use row::WireRow;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config};

/// Interval between two ticks.
const TICK: Duration = Duration::from_millis(100);
/// How long a cancelled statement may take to end. After that the session drops the connection.
const GRACE: Duration = Duration::from_millis(600);

/// Begins a transaction. Its settings end with it: a pooler lends the same backend to other
/// applications.
const BEGIN: &str = "begin isolation level read committed read write;\
                     set local search_path = pg_catalog, pg_temp;\
                     set local statement_timeout = 0;\
                     set local client_connection_check_interval = '1s';";

/// Shows messages and progress to the person or the program that waits.
pub trait Console: Send + Sync {
    /// A message of the server or the engine. `level` is one of Postgres's, such as `WARNING`.
    fn message(&self, level: &str, message: &str, hint: Option<&str>);

    /// How far the run of a mirror is.
    fn progress(&self, mirror: &str, progress: &Progress);
}

/// Fails once for each signal, so that the end of a run can be recorded.
pub type Stop = fn() -> Result<()>;

/// A session of its own with the database that holds the mirrors. It commits.
pub struct WireSession {
    /// Shared with the tickers.
    runtime: Rc<Runtime>,
    /// `None` once the connection was dropped.
    link: Option<Link>,
    /// Why the connection ended, if it has.
    lost: Arc<OnceLock<String>>,
    stop: Stop,
    console: Arc<dyn Console>,
    /// Commands that are sent with the next statement.
    ahead: String,
    /// Whether a transaction may be open on the server.
    is_open: bool,
    /// Number of open savepoints.
    depth: u32,
    /// Number of statements that were sent.
    sent: u64,
    /// When a statement that still waits is given up with its connection.
    deadline: Option<Instant>,
}

/// An established connection.
struct Link {
    client: Client,
    canceller: Canceller,
    /// Exchanges bytes with the server while the session waits.
    exchange: JoinHandle<()>,
}

impl WireSession {
    /// Connects. `stop` is called ten times a second while a statement runs; if it returns an
    /// error, the statement is cancelled and fails with this error.
    pub fn open(config: &Config, tls: &Tls, stop: Stop, console: Arc<dyn Console>) -> Result<Self> {
        let address = Address::of(config)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
        let lost = Arc::new(OnceLock::new());
        let link = runtime.block_on(async {
            let mut connecting = pin!(config.connect(tls.clone()));
            let (client, mut connection) = loop {
                match timeout(TICK, &mut connecting).await {
                    Ok(connected) => break connected.map_err(failure::of_connect)?,
                    Err(_) => stop()?,
                }
            };
            let (shown, ended) = (Arc::clone(&console), Arc::clone(&lost));
            let exchange = tokio::spawn(async move {
                let cause = loop {
                    match poll_fn(|task| connection.poll_message(task)).await {
                        Some(Ok(AsyncMessage::Notice(notice))) => show_notice(&*shown, &notice),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break failure::cause(&error),
                        None => break "the program closed it".to_owned(),
                    }
                };
                // The only writer.
                let _ = ended.set(cause);
            });
            Ok(Link { canceller: Canceller::new(&client, address, tls.clone()), client, exchange })
        })?;
        Ok(WireSession {
            runtime: Rc::new(runtime),
            link: Some(link),
            lost,
            stop,
            console,
            ahead: String::new(),
            is_open: false,
            depth: 0,
            sent: 0,
            deadline: None,
        })
    }

    /// Gives up all statements that end later than this.
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sends a statement after the commands ahead of it, and visits its rows.
    fn send(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64> {
        let mut ahead = std::mem::take(&mut self.ahead);
        if !self.is_open {
            ahead.insert_str(0, BEGIN);
            self.is_open = true;
        }
        self.sent += 1;
        let params: Vec<_> = params.iter().map(|param| WireParam(*param)).collect();
        self.wait(async |client| {
            let statement = client.query_typed_raw(sql, params.iter().map(|param| (param, param.kind())));
            let rows = match ahead.is_empty() {
                true => statement.await,
                // Both are sent before either is answered. The first error is the cause of the
                // second.
                false => {
                    let (begun, rows) = tokio::join!(biased; client.batch_execute(&ahead), statement);
                    begun.and(rows)
                }
            };
            let mut rows = pin!(rows.map_err(failure::of_statement)?);
            let mut count = 0;
            while let Some(row) = rows.try_next().await.map_err(failure::of_statement)? {
                visit(&WireRow(row))?;
                count += 1;
            }
            Ok(rows.rows_affected().unwrap_or(count))
        })
    }

    /// Runs statements that have no parameters and return no rows, in the current transaction.
    pub fn run_script(&mut self, sql: &str) -> Result<()> {
        let mut ahead = std::mem::take(&mut self.ahead);
        if !self.is_open {
            ahead.insert_str(0, BEGIN);
            self.is_open = true;
        }
        self.sent += 1;
        self.wait(async |client| client.batch_execute(&format!("{ahead}{sql}")).await.map_err(failure::of_statement))
    }

    /// Ends the transaction, if there is one.
    fn end(&mut self, command: &str) -> Result<()> {
        let commands = std::mem::take(&mut self.ahead) + command;
        if self.is_open {
            self.wait(async |client| client.batch_execute(&commands).await.map_err(failure::of_statement))?;
            self.is_open = false;
        }
        Ok(())
    }

    /// Waits for an answer of the server, and ticks meanwhile.
    fn wait<T>(&mut self, work: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let Some(link) = &self.link else {
            return Err(failure::lost("a cancelled statement did not end"));
        };
        let is_late = || self.deadline.is_some_and(|deadline| Instant::now() > deadline);
        let (result, has_ended) = self.runtime.block_on(async {
            let mut work = pin!(work(&link.client));
            loop {
                if let Ok(result) = timeout(TICK, &mut work).await {
                    return (result, true);
                }
                if is_late() {
                    return (Err(failure::lost("the database did not answer in time")), false);
                }
                if let Err(stop) = (self.stop)() {
                    let ended = timeout(GRACE, async { tokio::join!(link.canceller.send(), work) }).await;
                    return (Err(stop), ended.is_ok());
                }
            }
        });
        if !has_ended {
            // The server notices it by client_connection_check_interval.
            self.hang_up(Duration::ZERO);
        }
        result
    }

    /// Closes the connection, at the latest after `patience`.
    fn hang_up(&mut self, patience: Duration) {
        if let Some(Link { client, mut exchange, .. }) = self.link.take() {
            drop(client);
            self.runtime.block_on(async {
                if timeout(patience, &mut exchange).await.is_err() {
                    exchange.abort();
                    // It ends with the error that it was aborted.
                    let _ = exchange.await;
                }
            });
        }
    }
}

impl Drop for WireSession {
    fn drop(&mut self) {
        self.hang_up(GRACE);
    }
}

impl Session for WireSession {
    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64> {
        self.send(sql, params, visit)
    }

    fn execute(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64> {
        self.send(sql, params, visit)
    }

    fn savepoint(&mut self, work: &mut Work<'_>) -> Result<()> {
        let name = format!("s{}", self.depth);
        let (sent, ahead) = (self.sent, self.ahead.len());
        self.ahead.push_str(&format!("savepoint {name};"));
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        match &result {
            Ok(()) => self.ahead.push_str(&format!("release {name};")),
            // The server never received the savepoint.
            Err(_) if self.sent == sent => self.ahead.truncate(ahead),
            Err(_) => self.ahead = format!("rollback to {name};release {name};"),
        }
        result
    }

    fn commit(&mut self) -> Result<()> {
        self.end("commit")
    }

    fn rollback(&mut self) -> Result<()> {
        self.ahead.clear();
        self.end("rollback")
    }

    fn may_commit(&self) -> bool {
        true
    }

    fn notice(&mut self, message: &str) {
        self.console.message("NOTICE", message, None);
    }

    fn warning(&mut self, message: &str, hint: &str) {
        self.console.message("WARNING", message, Some(hint));
    }

    fn progress(&mut self, mirror: &str, progress: &Progress) {
        self.console.progress(mirror, progress);
    }

    fn ticker(&self) -> Tick {
        let (runtime, lost, stop) = (Rc::clone(&self.runtime), Arc::clone(&self.lost), self.stop);
        Rc::new(move || {
            stop()?;
            // No statement is running. What the server sent meanwhile, such as the end of the
            // connection, is received during the first yield, and the exchange reads it during the
            // second.
            runtime.block_on(async {
                yield_now().await;
                yield_now().await;
            });
            lost.get().map_or(Ok(()), |cause| Err(failure::lost(cause)))
        })
    }
}

/// Shows what the server tells beside its answers, for example what a trigger raises.
fn show_notice(console: &dyn Console, notice: &DbError) {
    // A rollback after a commit that failed has nothing to roll back.
    if *notice.code() != SqlState::NO_ACTIVE_SQL_TRANSACTION {
        console.message(notice.severity(), notice.message(), notice.hint());
    }
}
