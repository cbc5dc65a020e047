//! Checks that Odoo accepts domain, language and companies of a mirror.

use crate::refusal::{invalid, refused};
use crate::source::Fetcher;
use ipai_odoo::Scope;
use ipai_odoo::error::{Error, Result, SqlState};
use std::fmt::Display;

/// Checks the scope by requests that return little. Odoo validates a domain when it counts. It may
/// ignore a language or company until it reads a value that depends on it.
pub fn check_scope(fetcher: &Fetcher, scope: &Scope) -> Result<()> {
    if let Some(lang) = &scope.lang {
        let active = known(fetcher.run(|client| client.languages()))?;
        if let Some(active) = active.filter(|active| !active.contains(lang)) {
            return Err(invalid(
                format!("language \"{lang}\" is not active in Odoo"),
                format!("Activate it in Odoo, or use one of: {}.", list(&active)),
            ));
        }
    }
    if !scope.company_ids.is_empty() {
        let allowed = known(fetcher.run(|client| client.companies()))?.unwrap_or_else(|| scope.company_ids.clone());
        let others: Vec<i64> = scope.company_ids.iter().copied().filter(|id| !allowed.contains(id)).collect();
        if !others.is_empty() {
            return Err(refused(
                SqlState::InsufficientPrivilege,
                format!("the Odoo user may not read the companies {}", list(&others)),
                format!("Allow the user these companies in Odoo, or use some of: {}.", list(&allowed)),
            ));
        }
    }
    let asked = scope.clone();
    let counted = fetcher.run(move |client| client.search_count(&asked, Vec::new()));
    counted.map(drop).map_err(|error| error.of_model(&scope.model))
}

/// The answer, or `None` if the user may not ask.
fn known<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::OdooAccess(_) | Error::UnknownModel { .. } | Error::UnknownMethod { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

fn list<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
