//! The options that `create_mirror` and `alter_mirror` take. They are checked when they are set.

use crate::definition::Mask;
use crate::refusal;
use crate::session::Session;
use crate::{Kind, Mirror};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::value::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Options; `None` leaves an option as it is. Intervals are texts that Postgres reads.
#[derive(Default)]
pub struct MirrorOptions {
    /// Name of the server.
    pub server: Option<String>,
    /// The domain as JSON.
    pub domain: Option<serde_json::Value>,
    /// An empty text removes it.
    pub lang: Option<String>,
    /// Ids of Odoo's companies.
    pub company_ids: Option<Vec<i64>>,
    /// Most records per call.
    pub page_size: Option<i32>,
    /// The overlap window.
    pub overlap: Option<String>,
    /// How often everything is read.
    pub reconcile_every: Option<String>,
    /// Share of the rows (0 to 1) that one run may delete.
    pub max_delete_ratio: Option<f64>,
    /// Whether `run_sync` without a name includes the mirror.
    pub enabled: Option<bool>,
    /// An empty text removes it.
    pub flag_field: Option<String>,
    /// How late a run may be before an alert.
    pub late_after: Option<String>,
    /// Failures in a row before an alert.
    pub max_failures: Option<i32>,
    /// Difference of the counts before an alert.
    pub max_delta: Option<i64>,
    /// Share of flagged rows (0 to 1) before an alert.
    pub max_flagged_ratio: Option<f64>,
    /// How long the log keeps runs.
    pub keep_runs: Option<String>,
    /// The most records that the table may refuse before a run fails.
    pub max_rejects: Option<i32>,
    /// Fields and their masks as a JSON object.
    pub masks: Option<serde_json::Value>,
    /// What a run does with rows whose records no longer exist: `delete` or `mark`.
    pub on_delete: Option<String>,
}

impl MirrorOptions {
    /// Whether these options change which records or values Odoo is asked for.
    pub fn changes_scope(&self) -> bool {
        self.domain.is_some() || self.lang.is_some() || self.company_ids.is_some()
    }

    /// Applies the options to the mirror. The error names the first invalid option.
    pub fn apply(&self, session: &mut dyn Session, mirror: &mut Mirror) -> Result<()> {
        if let Some(server) = &self.server {
            mirror.server = Some(server.clone());
        }
        if let Some(domain) = &self.domain {
            mirror.scope.domain = terms(domain)?;
        }
        if let Some(lang) = &self.lang {
            mirror.scope.lang = language(lang)?;
        }
        if let Some(ids) = &self.company_ids {
            if ids.iter().any(|id| !(1..=i64::from(i32::MAX)).contains(id)) {
                return Err(invalid("company_ids", "It is an array of ids of Odoo's companies, such as '{1,2}'."));
            }
            mirror.scope.company_ids.clone_from(ids);
        }
        if let Some(page_size) = self.page_size {
            mirror.page_size = u32::try_from(page_size)
                .ok()
                .filter(|size| (1..=50_000).contains(size))
                .ok_or_else(|| invalid("page_size", "It is a number of records from 1 to 50000."))?;
        }
        if let Some(max_delete_ratio) = self.max_delete_ratio {
            within("max_delete_ratio", max_delete_ratio, 0.0..=1.0)?;
            mirror.max_delete_ratio = max_delete_ratio;
        }
        if let Some(max_rejects) = self.max_rejects {
            mirror.max_rejects = u32::try_from(max_rejects)
                .ok()
                .filter(|most| *most <= 10_000)
                .ok_or_else(|| invalid("max_rejects", "It is a number of records from 0 to 10000."))?;
        }
        if let Some(field) = &self.flag_field {
            mirror.flag_field = Some(field.clone()).filter(|field| !field.is_empty());
            if mirror.flag_field.as_deref().is_some_and(|field| mirror.flag(field).is_none()) {
                return Err(invalid("flag_field", "It is the name of a mirrored boolean field, or '' for none."));
            }
        }
        if let Some(masks) = &self.masks {
            mirror.masks.fields = self::masks(masks, mirror)?;
        }
        if let Some(on_delete) = &self.on_delete {
            mirror.marks_deleted = match on_delete.as_str() {
                "delete" => false,
                "mark" => true,
                _ => return Err(invalid("on_delete", "It is delete or mark.")),
            };
        }
        within("max_flagged_ratio", self.max_flagged_ratio.unwrap_or(0.0), 0.0..=1.0)?;
        within("max_failures", self.max_failures.unwrap_or(0).into(), 0.0..=f64::from(i32::MAX))?;
        if self.max_delta.is_some_and(|delta| delta < 0) {
            return Err(invalid("max_delta", "It is a number of rows, 0 or more."));
        }
        // At most years, so that a sum with a moment does not overflow.
        check_interval(session, "overlap", self.overlap.as_deref(), 0.0)?;
        check_interval(session, "keep_runs", self.keep_runs.as_deref(), 86_400.0)?;
        check_interval(session, "late_after", self.late_after.as_deref(), 0.0)?;
        check_interval(session, "reconcile_every", self.reconcile_every.as_deref(), 1.0)
    }
}

fn terms(domain: &serde_json::Value) -> Result<Vec<Value>> {
    let hint = "It is an Odoo domain as JSON: '[[\"is_company\", \"=\", true]]', or '[]' for all records.";
    match Value::from_json(domain.clone()) {
        Value::Array(terms) if terms.iter().all(is_term) => Ok(terms),
        _ => Err(invalid("domain", hint)),
    }
}

/// A term of a domain: an operator, or a list of three.
fn is_term(term: &Value) -> bool {
    match term {
        Value::String(operator) => matches!(operator.as_str(), "&" | "|" | "!"),
        Value::Array(parts) => parts.len() == 3,
        _ => false,
    }
}

fn language(lang: &str) -> Result<Option<String>> {
    let hint = "It is the code of a language that is active in Odoo, such as fr_FR, or '' for none.";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'.');
    match lang {
        "" => Ok(None),
        lang if lang.len() <= 32 && lang.bytes().all(plain) => Ok(Some(lang.to_owned())),
        _ => Err(invalid("lang", hint)),
    }
}

/// Reads the masks. A mask must not hide the fields that the mirror counts and protects rows by.
fn masks(masks: &serde_json::Value, mirror: &Mirror) -> Result<BTreeMap<String, Mask>> {
    let hint = "It is a JSON object of mirrored fields with hmac or redact: '{\"email\": \"hmac\"}', or '{}' for none.";
    let masks: BTreeMap<String, Mask> = serde_json::from_value(masks.clone()).map_err(|_| invalid("masks", hint))?;
    let counted = mirror.flags();
    for (field, mask) in &masks {
        let Some(map) = mirror.fields.iter().find(|map| map.field == *field) else {
            return Err(refusal::invalid(format!("masks contains field \"{field}\", which is not mirrored"), hint));
        };
        if *mask == Mask::Hmac && map.kind != Kind::Text {
            return Err(refusal::invalid(
                format!("column \"{}\" of type {} cannot hold an HMAC", map.column, map.kind.sql()),
                "Use redact, or a column of type text.",
            ));
        }
        if counted.contains(field) {
            return Err(refusal::invalid(
                format!("field \"{field}\" cannot be masked: the mirror counts its values"),
                "Leave it out of masks.",
            ));
        }
    }
    Ok(masks)
}

fn within(name: &str, value: f64, range: RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(invalid(name, format!("It is a number from {} to {}.", range.start(), range.end())))
}

fn check_interval(session: &mut dyn Session, name: &str, interval: Option<&str>, least: f64) -> Result<()> {
    let sql = "select extract(epoch from $1::interval)::float8";
    let seconds = session.first(sql, &[interval.into()], |row| row.optional::<f64>(0))?;
    match seconds.flatten() {
        Some(seconds) if !(least..=1e9).contains(&seconds) => {
            Err(invalid(name, format!("It is an interval of at least {least} s, and no more than 30 years.")))
        }
        _ => Ok(()),
    }
}

fn invalid(name: &str, hint: impl Into<String>) -> Error {
    refusal::invalid(format!("the value of {name} is not valid"), hint)
}
