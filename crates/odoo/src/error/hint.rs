//! Writes the DETAIL and the HINT of errors.

use super::Error;

impl Error {
    /// The DETAIL: facts in addition to the message.
    pub fn detail(&self) -> Option<String> {
        let detail = match self {
            Error::Postgres(error) => return error.detail.clone(),
            Error::MayHaveHappened(error) => return error.detail(),
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
                 pass requests to /xmlrpc/2/."
            }
            Error::HttpStatus(404 | 405) => {
                "There is no XML-RPC at this address. Set the url option of the server to the address of Odoo without \
                 a path, such as https://erp.example.com."
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
            Error::OdooFault { .. } => "See Odoo's log for the complete error.",
            Error::NoneReturned { method, .. } if method == "search_read" || method == "read" => {
                "The value of a json field may contain null. Leave such fields out of the mirror: \
                 ipai.refresh_mirror(..., drop_fields => '{...}')."
            }
            Error::NoneReturned { .. } => {
                "Do not repeat the call: Odoo has executed the method, and only its result is lost."
            }
            Error::Malformed { .. } => {
                "Something other than Odoo's XML-RPC answered, or the answer was damaged. Check that the url option of \
                 the server is the address of Odoo itself and not of a login page or portal."
            }
            Error::Value { .. } => "Correct the value in Odoo, or the type of the column.",
            Error::Busy { .. } => "Wait until the other session has finished, then try again.",
            Error::MayHaveHappened(_) => "Odoo may have executed the call. Check in Odoo before you repeat it.",
            Error::RefusedDeletion { mirror, .. } => {
                return Some(format!(
                    "If Odoo is right, repeat with a higher limit: call ipai.run_sync('{mirror}', max_delete_ratio => \
                     1), or select * from ipai.sync_mirror('{mirror}', max_delete_ratio => 1). Nothing was deleted."
                ));
            }
            Error::OtherDatabase { mirror } => {
                return Some(format!(
                    "If the mirror should follow this database, run: call ipai.run_sync('{mirror}', 'full', \
                     max_delete_ratio => 1). The run deletes rows that this database does not have. Nothing was changed."
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
