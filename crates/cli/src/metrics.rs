//! Serves the figures of the mirrors to Prometheus, while the program follows them.

use crate::database::Database;
use crate::session::WireSession;
use crate::signals;
use ipai_mirror::refusal::refused;
use ipai_mirror::session::{Session, internal};
use ipai_mirror::source::with_signals_blocked;
use ipai_odoo::error::{Error, Result, SqlState};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest head of a request.
const HEAD: usize = 8 << 10;
/// How often the server looks for a signal.
const TICK: Duration = Duration::from_millis(100);

/// Starts to serve at an address, on a thread of its own that ends with the program.
///
/// # Errors
/// An error for the user if the address cannot be used.
pub fn serve(address: SocketAddr, database: Database) -> Result<()> {
    let unusable = |error: &io::Error| {
        refused(
            SqlState::ObjectNotInState,
            format!("cannot listen at {address}: {error}"),
            "Give --metrics another address, such as 127.0.0.1:9464.",
        )
    };
    let listener = TcpListener::bind(address).map_err(|error| unusable(&error))?;
    listener.set_nonblocking(true).map_err(|error| unusable(&error))?;
    let work = move || Server { listener, database, session: None }.run();
    with_signals_blocked(|| std::thread::Builder::new().name("metrics".to_owned()).spawn(work)).map_err(internal)?;
    Ok(())
}

struct Server {
    listener: TcpListener,
    database: Database,
    session: Option<WireSession>,
}

impl Server {
    fn run(mut self) {
        while !signals::has_stopped() {
            match self.listener.accept() {
                // A scraper that goes away is its own affair.
                Ok((stream, _)) => drop(self.answer(stream)),
                Err(_) => std::thread::sleep(TICK),
            }
        }
    }

    fn answer(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (status, body) = match requested(&mut stream)? {
            Some(true) => match self.figures() {
                Ok(figures) => ("200 OK", figures),
                // The error may name the database, which is not for a scraper.
                Err(_) => ("503 Service Unavailable", "the database cannot be read\n".to_owned()),
            },
            Some(false) => ("404 Not Found", "the figures are at /metrics\n".to_owned()),
            None => ("400 Bad Request", "not a GET request\n".to_owned()),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    /// The figures in the text format of Prometheus.
    fn figures(&mut self) -> Result<String> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.database.connect_beside()?,
        };
        let figures = read(&mut session)?;
        // After an error, the next scrape connects anew.
        self.session = Some(session);
        Ok(figures)
    }
}

/// Whether the request asks for the figures; `None` if it is no GET request.
fn requested(stream: &mut TcpStream) -> io::Result<Option<bool>> {
    let (mut head, mut part) = (Vec::new(), [0; 1 << 10]);
    while head.len() < HEAD {
        let read = stream.read(&mut part)?;
        head.extend_from_slice(&part[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.map(|path| path.split('?').next() == Some("/metrics"));
                return Ok(path.filter(|_| request.method == Some("GET")));
            }
            Ok(httparse::Status::Partial) if read > 0 => {}
            _ => break,
        }
    }
    Ok(None)
}

fn read(session: &mut dyn Session) -> Result<String> {
    let mut text = String::new();
    let mut metric = String::new();
    session.query(include_str!("sql/metrics.sql"), &[], &mut |row| {
        let (name, help, labels, value): (String, String, Vec<String>, f64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if name != metric {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            metric.clone_from(&name);
        }
        let labels: Vec<String> =
            labels.chunks_exact(2).map(|pair| format!("{}=\"{}\"", pair[0], escaped(&pair[1]))).collect();
        let _ = writeln!(text, "{name}{{{}}} {value}", labels.join(","));
        Ok::<(), Error>(())
    })?;
    session.commit()?;
    Ok(text)
}

/// A value of a label, as the text format writes it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
