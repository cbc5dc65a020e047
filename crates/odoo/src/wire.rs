//! Chooses between the two wire formats of Odoo: XML-RPC and JSON-2.

use crate::error::{Error, Result};
use crate::fault::{self, Meaning};
use crate::transport::Content;
use crate::value::{Limits, RowVisitor, Value};
use crate::xmlrpc::encode_call;
use crate::{Account, Call, Reply, Request, json2, xmlrpc};

/// The path of XML-RPC's methods of models.
const OBJECT: &str = "/xmlrpc/2/object";

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// XML-RPC, which every version before Odoo 22 has.
    XmlRpc,
    /// JSON-2, which came with Odoo 19 and requires an API key.
    Json2,
}

/// An error that Odoo reports, in one of the wire formats.
pub(crate) enum Fault {
    XmlRpc(xmlrpc::Fault),
    Json2(json2::Fault),
}

/// The content of a well-formed answer: a result or a fault.
pub(crate) type Answer<T> = std::result::Result<T, Fault>;

impl Wire {
    /// The name of the wire format, as the server option `protocol` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Wire::XmlRpc => "xmlrpc",
            Wire::Json2 => "json2",
        }
    }

    /// Encodes a call of a method. XML-RPC sends the uid, and JSON-2 the key only.
    pub(crate) fn request(self, account: &Account, uid: i64, call: &Call<'_>) -> Result<Request> {
        if self == Wire::Json2 {
            let body = json2::encode_arguments(call.named_arguments()?);
            let (key, dbname) = (account.password.clone(), account.dbname.clone());
            let content = Content::Json { body, key, dbname };
            return Ok(Request { path: json2::path(call.model, call.method)?, content });
        }
        let params = [
            ("dbname", &account.dbname.as_str().into()),
            ("uid", &uid.into()),
            ("password", &account.password.reveal().into()),
            ("model", &call.model.into()),
            ("method", &call.method.into()),
            ("args", &call.positional_arguments()),
            ("kwargs", &call.kwargs()),
        ];
        let (body, dbname) = (encode_call("execute_kw", &params)?, account.dbname.clone());
        Ok(Request { path: OBJECT.to_owned(), content: Content::Xml { body, dbname } })
    }

    /// Decodes an answer into a tree.
    pub(crate) fn decode(self, reply: &Reply, limits: &Limits) -> Result<Answer<Value>> {
        self.answer(reply, |body| xmlrpc::decode(body, limits), |body| json2::decode(body, limits))
    }

    /// Decodes a list of ids.
    pub(crate) fn decode_ids(self, reply: &Reply, limits: &Limits) -> Result<Answer<Vec<i64>>> {
        self.answer(reply, |body| xmlrpc::decode_ids(body, limits), |body| json2::decode_ids(body, limits))
    }

    /// Decodes records, and returns the visitor that received them.
    pub(crate) fn decode_rows<V: RowVisitor>(self, reply: &Reply, limits: &Limits, mut rows: V) -> Result<Answer<V>> {
        let visitor = &mut rows;
        let answer = match self {
            Wire::XmlRpc => xmlrpc::decode_rows(&reply.body, limits, visitor)?.map_err(Fault::XmlRpc),
            Wire::Json2 if reply.status == OK => {
                json2::decode_rows(&reply.body, limits, visitor)?;
                Ok(())
            }
            Wire::Json2 => Err(json2_fault(reply)?),
        };
        Ok(answer.map(|()| rows))
    }

    fn answer<T>(
        self,
        reply: &Reply,
        xmlrpc: impl FnOnce(&[u8]) -> Result<xmlrpc::Answer<T>>,
        json2: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Answer<T>> {
        match self {
            Wire::XmlRpc => Ok(xmlrpc(&reply.body)?.map_err(Fault::XmlRpc)),
            Wire::Json2 if reply.status == OK => json2(&reply.body).map(Ok),
            Wire::Json2 => Ok(Err(json2_fault(reply)?)),
        }
    }
}

/// The status of a result.
const OK: u16 = 200;

/// The error in an answer of JSON-2.
fn json2_fault(reply: &Reply) -> Result<Fault> {
    let fault = json2::Fault::read(reply.status, &reply.body);
    fault.map(Fault::Json2).ok_or(Error::HttpStatus(reply.status))
}

impl Fault {
    /// Determines the meaning of the fault of a call.
    pub(crate) fn meaning(&self, account: &Account, call: &Call<'_>, uid: i64) -> Meaning {
        match self {
            Fault::XmlRpc(fault) => fault::read(fault, account, call.model, call.method, Some(uid)),
            Fault::Json2(fault) => fault::read_json2(fault, account, call.model, call.method),
        }
    }
}
