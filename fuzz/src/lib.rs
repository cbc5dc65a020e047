//! Defines the fuzz targets: each module has a function `run` that accepts arbitrary bytes.
//!
//! libFuzzer calls it through `fuzz_targets`. `tests/fuzz_inputs.rs` calls it with recorded and
//! damaged inputs.

pub mod addon_page;
pub mod answer;
pub mod fault;
pub mod json2;
pub mod options;
pub mod values;

use ipai_mirror::{FieldMap, Kind, Mirror, Page, Table};
use ipai_odoo::retry::Policy;
use ipai_odoo::secret::Secret;
use ipai_odoo::{Account, Addon, Client, Failure, Json2, Reply, Request, Scope, ServerInfo, Transport};
use std::time::Duration;

/// Must not appear in any error.
pub const PASSWORD: &str = "pa55w0rd-of-the-fuzzer";

/// A mirror with a field `f0`, `f1` ... of each kind.
pub fn mirror(has_write_date: bool) -> Mirror {
    let field = |(n, kind): (usize, &Kind)| FieldMap { field: format!("f{n}"), column: format!("f{n}"), kind: *kind };
    Mirror {
        name: "m".into(),
        server: Some("s".into()),
        target: Table { schema: "public".into(), name: "m".into() },
        scope: scope(),
        fields: Kind::ALL.iter().enumerate().map(field).collect(),
        drift: Vec::new(),
        constants: Vec::new(),
        has_write_date,
        page_size: 1_000,
        max_delete_ratio: 0.2,
        max_rejects: 100,
        is_partitioned: false,
        flag_field: None,
        masks: Default::default(),
        marks_deleted: false,
    }
}

/// The scope of [`mirror`]: all records of one model.
pub fn scope() -> Scope {
    Scope { model: "a.model".into(), domain: Vec::new(), lang: None, company_ids: Vec::new() }
}

/// Checks the invariants of a page.
pub fn check_page(page: &Page) {
    assert!(page.ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(page.columns.iter().all(|column| column.len() == page.ids.len()));
    assert!(page.newest.is_none_or(|newest| page.ids.contains(&newest.id)));
}

/// A transport that answers every request with the same status and body.
pub struct Canned {
    /// The HTTP status.
    pub status: u16,
    /// The body after decompression.
    pub body: Vec<u8>,
}

impl Transport for Canned {
    fn send(&mut self, _request: Request, _max_bytes: usize) -> Result<Reply, Failure> {
        Ok(Reply { status: self.status, body: self.body.clone(), ..Reply::default() })
    }

    fn pause(&mut self, _pause: Duration) -> Result<(), ipai_odoo::error::Error> {
        Ok(())
    }
}

/// A client of XML-RPC that knows its uid and the addon, and receives `body` as every answer.
pub fn client(body: Vec<u8>) -> Client<Canned> {
    client_of(Json2::Unwanted, Canned { status: 200, body })
}

/// A client that knows its uid and the addon.
pub fn client_of(json2: Json2, answers: Canned) -> Client<Canned> {
    let account = Account { dbname: "odoo".into(), login: "reader".into(), password: Secret::new(PASSWORD.into()) };
    let known = ServerInfo { uid: Some(2), addon: Addon::Present, json2, ..ServerInfo::default() };
    Client::new(answers, account, Policy::SYNC, known, Default::default())
}

/// Checks that an error can be shown to users: it contains no secret and is not empty.
pub fn check_error(error: &ipai_odoo::error::Error) {
    let text = format!("{error} {:?} {:?} {error:?}", error.detail(), error.hint());
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(!error.to_string().is_empty());
    assert_eq!(error.sqlstate().len(), 5);
}
