//! The DETAIL and the HINT of each error.

use super::Error;
use crate::text::quote_literal;

impl Error {
    /// The DETAIL: facts in addition to the message.
    pub fn detail(&self) -> Option<String> {
        let detail = match self {
            Error::Postgres(error) => return error.detail.clone(),
            Error::MayHaveHappened(error) | Error::Model { error, .. } | Error::Records { error, .. } => {
                return error.detail();
            }
            Error::Busy { holder, .. } => return holder.as_ref().map(|holder| holder.detail.clone()),
            Error::OdooFault { traceback, .. } if !traceback.is_empty() => traceback,
            Error::MultipleMirrorsFailed { failures, .. } => {
                let line = |(mirror, error): &(String, Error)| format!("{mirror}: {error} ({})", error.sqlstate());
                return Some(failures.iter().map(line).collect::<Vec<_>>().join("\n"));
            }
            Error::RefusedDeletion { allowed, .. } => {
                return Some(format!(
                    "Odoo no longer returns these records. One run may delete at most {allowed} rows."
                ));
            }
            Error::InTransaction => {
                "run_sync commits after each page. Functions, blocks with exception handlers and statements that are \
                 sent together also run in a transaction."
            }
            Error::OtherDatabase { .. } => {
                "The uuid of the database or the creation date of its first company differs. The same id may belong to \
                 another record."
            }
            _ => return None,
        };
        Some(detail.to_owned())
    }

    /// The HINT: the next action.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::Postgres(error) => return error.hint.clone(),
            Error::ClientGone | Error::Cancelled => return None,
            Error::Limit { hint, .. } => hint,
            Error::Connection { .. } => {
                "Run the sync again. Nothing was lost. If the error persists, check Odoo's log and the proxy in front \
                 of Odoo."
            }
            Error::Timeout(_) => {
                "If Odoo is slow, raise the timeout option of the server or lower the page size of the mirror. Nothing \
                 was lost."
            }
            Error::HttpStatus(401 | 403 | 407) => {
                "Something in front of Odoo (a proxy, a firewall, basic authentication) refuses the request. Let it \
                 pass requests to /xmlrpc/2/ and /json/."
            }
            Error::HttpStatus(404 | 405) => {
                "There is no API of Odoo at this address. Set the url option of the server to the address of Odoo without \
                 a path, such as https://erp.example.com. If the address is right: from Odoo 19 on, the option \
                 server_wide_modules of Odoo must include rpc; Odoo answers 404 if its dbfilter admits no database \
                 for this host name; and JSON-2 needs Odoo 19 and the right dbname."
            }
            Error::HttpStatus(413) => {
                "The proxy in front of Odoo limits the size of a request. Raise that limit, which nginx calls \
                 client_max_body_size, to 1 MB or more."
            }
            Error::HttpStatus(429 | 500..) => {
                "Odoo or the proxy in front of it is overloaded or down. Run the sync again later. Nothing was lost."
            }
            Error::HttpStatus(_) => "Check that the url option of the server is the address of Odoo.",
            Error::OdooAccess(message) if message.starts_with("Private methods") => {
                "Call a method whose name does not start with an underscore, and that Odoo does not mark as private."
            }
            Error::OdooAccess(_) => "Give the Odoo user of the user mapping read access to this model.",
            Error::UnknownModel { near, .. } | Error::UnknownField { near, .. } if !near.is_empty() => {
                return Some(format!("Perhaps you mean {}.", near.join(" or ")));
            }
            Error::UnknownModel { .. } => {
                "Install the Odoo module that defines it (Odoo, Apps), or check the spelling."
            }
            Error::UnknownField { .. } => {
                "Check the spelling, and that the installed version of the Odoo module has the field."
            }
            Error::UnknownMethod { .. } => {
                "Check the spelling, and that the installed version of the Odoo module has the method."
            }
            Error::OdooFault { traceback, .. } if traceback.is_empty() => {
                "Correct in Odoo what the message states, then try again."
            }
            Error::OdooFault { .. } => "See Odoo's log for the complete error.",
            Error::Exhausted(_) => {
                "Raise the limits of Odoo (limit_memory_hard, limit_time_cpu, limit_time_real) or the \
                 statement_timeout of its database role, or leave large fields out of the mirror."
            }
            Error::Unavailable(_) => {
                "Run the sync again later. Nothing was lost. If the error persists, check Odoo's log, its database \
                 server and its option db_maxconn."
            }
            Error::Records { error, .. } if error.is_of_exchange() => {
                "Odoo answers other requests and not this one. Check its log, its limits (limit_time_real, \
                 limit_memory_hard), the time limit of the proxy in front of it, and the timeout option of the server. \
                 If a field of the record is very large, leave it out of the mirror."
            }
            Error::Model { error, .. } | Error::Records { error, .. } => return error.hint(),
            Error::UncarriedFields { .. } => {
                "Install the addon ipai_sync in Odoo, which can send these values, or leave the fields out: \
                 ipai.refresh_mirror(..., drop_fields => '{...}')."
            }
            Error::NoneReturned { method, .. } if method == "search_read" || method == "read" => {
                "The value of a json field may contain null. Leave such fields out of the mirror: \
                 ipai.refresh_mirror(..., drop_fields => '{...}')."
            }
            Error::NoneReturned { .. } => {
                "Do not repeat the call: Odoo has executed the method, and only its result is lost."
            }
            Error::Malformed { .. } => {
                "Something other than Odoo answered, or the answer was damaged. Check that the url option of \
                 the server is the address of Odoo itself and not of a login page or portal."
            }
            Error::Value { .. } => "Correct the value in Odoo, or the type of the column.",
            Error::Busy { holder: None, .. } => "Wait until the other session has finished, then try again.",
            Error::Busy { holder: Some(holder), .. } => {
                return Some(format!(
                    "Wait until the other session has finished, then try again. If process {0} is not a run, end it: \
                     select pg_terminate_backend({0});",
                    holder.pid
                ));
            }
            Error::MayHaveHappened(_) => "Odoo may have executed the call. Check in Odoo before you repeat it.",
            Error::RefusedDeletion { mirror, .. } => {
                let mirror = quote_literal(mirror);
                return Some(format!(
                    "If Odoo is right, repeat with a higher limit: call ipai.run_sync({mirror}, max_delete_ratio => \
                     1), or select * from ipai.sync_mirror({mirror}, max_delete_ratio => 1). Nothing was deleted."
                ));
            }
            Error::OtherDatabase { mirror } => {
                return Some(format!(
                    "If the mirror should follow this database, run: call ipai.run_sync({}, 'full', \
                     max_delete_ratio => 1). The run deletes rows that this database does not have. Nothing was changed.",
                    quote_literal(mirror)
                ));
            }
            Error::InTransaction => {
                "Send the call as the only statement, outside of a transaction: from psql, pg_cron or an editor page \
                 with no other statement. Inside a transaction, use ipai.sync_mirror()."
            }
            Error::MultipleMirrorsFailed { failures, .. } => match failures.as_slice() {
                [(_, only)] => return only.hint(),
                _ => "See ipai.sync_runs for the complete error messages.",
            },
            Error::Internal { .. } => "Report this error.",
        };
        Some(hint.to_owned())
    }
}
