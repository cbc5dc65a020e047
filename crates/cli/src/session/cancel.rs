//! Cancels the statement that a session runs.

use super::tls::{ClosedByServer, Tls};
use ipai_odoo::error::{Error, Result, SqlState};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, NoTls};

/// Where and what to cancel.
pub struct Canceller {
    token: CancelToken,
    address: Address,
    tls: Tls,
}

/// The address of the server.
pub enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl Address {
    /// The only address of a configuration. With several, a cancel might reach another server.
    pub fn of(config: &Config) -> Result<Self> {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match (config.get_hosts(), config.get_hostaddrs()) {
            (_, [address]) => Ok(Address::Tcp(address.to_string(), port)),
            ([Host::Tcp(host)], []) => Ok(Address::Tcp(host.clone(), port)),
            ([Host::Unix(folder)], []) => Ok(Address::Unix(folder.join(format!(".s.PGSQL.{port}")))),
            _ => Err(Error::user(SqlState::InvalidParameter, "the address of the database must name one host")),
        }
    }
}

impl Canceller {
    /// For the statements of a client.
    pub fn new(client: &Client, address: Address, tls: Tls) -> Self {
        Canceller { token: client.cancel_token(), address, tls }
    }

    /// Requests the cancel, over a connection of its own, and returns once the server has handled
    /// the request. The statement may go on all the same.
    pub async fn send(&self) -> std::result::Result<(), Box<dyn std::error::Error>> {
        let token = &self.token;
        match &self.address {
            Address::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                let tls = MakeTlsConnect::<UntilEnd<TcpStream>>::make_tls_connect(&mut self.tls.clone(), host)?;
                token.cancel_query_raw(UntilEnd(socket), ClosedByServer(tls)).await?;
            }
            Address::Unix(path) => {
                let socket = UnixStream::connect(path).await?;
                token.cancel_query_raw(UntilEnd(socket), NoTls).await?;
            }
        }
        Ok(())
    }
}

/// A socket that reads to the end before it closes, as libpq does after a cancel. PgBouncer 1.18
/// crashes if the client disconnects before the request was passed on.
pub struct UntilEnd<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilEnd<S> {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilEnd<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 64];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.0).poll_read(task, &mut buffer));
            // A reset is an end as well.
            if read.is_err() || buffer.filled().is_empty() {
                return Pin::new(&mut self.0).poll_shutdown(task);
            }
        }
    }
}
