//! Converts values of Odoo to cells of columns.
//!
//! Odoo sends `false` for an unset value of most types.

use super::Column;
use base64::Engine;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use ipai_odoo::xmlrpc::{Scalar, Value};

/// The reason why a value does not fit. The caller adds model, id and field.
pub type Misfit = String;

/// Appends a value to a column.
///
/// # Errors
/// The reason why the value does not fit.
pub fn push(column: &mut Column, value: Scalar<'_>) -> Result<(), Misfit> {
    let unset = matches!(value, Scalar::Nil | Scalar::Bool(false));
    match column {
        Column::Boolean(cells) => match value {
            Scalar::Nil => cells.push(None),
            Scalar::Bool(flag) => cells.push(Some(flag)),
            other => return Err(misfit(&other, "a boolean")),
        },
        _ if unset => column.push_null(),
        Column::Text(cells) => match value {
            Scalar::String(text) => cells.push(Some(text.as_bytes())),
            other => return Err(misfit(&other, "text")),
        },
        Column::Integer(cells) => match value {
            Scalar::Int(number) => match i32::try_from(number) {
                Ok(number) => cells.push(Some(number)),
                Err(_) => return Err("the number is out of range for an integer".to_owned()),
            },
            other => return Err(misfit(&other, "a whole number")),
        },
        Column::Bigint(cells) => match value {
            Scalar::Int(number) => cells.push(Some(number)),
            // [id, display_name], from versions of Odoo that ignore an empty load.
            Scalar::Tree(Value::Array(pair)) => match pair.as_slice() {
                [Value::Int(id), Value::String(_)] => cells.push(Some(*id)),
                _ => return Err("found a list, expected the id of a record".to_owned()),
            },
            other => return Err(misfit(&other, "the id of a record")),
        },
        Column::Double(cells) => match value {
            Scalar::Double(number) => cells.push(Some(number)),
            Scalar::Int(number) => cells.push(Some(number as f64)),
            other => return Err(misfit(&other, "a number")),
        },
        Column::Numeric(cells) => match value {
            // The shortest text that reads back as the same double.
            Scalar::Double(number) => cells.push(Some(numeric(number).as_bytes())),
            Scalar::Int(number) => cells.push(Some(number.to_string().as_bytes())),
            other => return Err(misfit(&other, "a number")),
        },
        Column::Date(cells) => match value {
            Scalar::String(text) => cells.push(Some(date(&text).ok_or_else(|| misread("a date"))?)),
            other => return Err(misfit(&other, "a date")),
        },
        Column::Timestamptz(cells) => match value {
            Scalar::String(text) | Scalar::DateTime(text) => {
                cells.push(Some(moment(&text).ok_or_else(|| misread("a date and time"))?));
            }
            other => return Err(misfit(&other, "a date and time")),
        },
        Column::BigintArray(cells) => match value {
            Scalar::Tree(Value::Array(items)) => {
                let ids: Option<Vec<i64>> = items.iter().map(Value::as_i64).collect();
                let mut ids = ids.ok_or_else(|| "found a list of something other than ids".to_owned())?;
                ids.sort_unstable();
                ids.dedup();
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                cells.push(Some(format!("{{{}}}", ids.join(",")).as_bytes()));
            }
            other => return Err(misfit(&other, "a list of ids")),
        },
        Column::Jsonb(cells) => cells.push(Some(json(value).as_bytes())),
        Column::Bytea(cells) => match value {
            Scalar::Base64(bytes) => cells.push(Some(&bytes)),
            Scalar::String(text) => cells.push(Some(&decode_base64(&text)?)),
            other => return Err(misfit(&other, "binary data")),
        },
    }
    Ok(())
}

/// Parses `YYYY-MM-DD`. Odoo does not pad years below 1000.
pub fn date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(digits(year)? as i32, digits(month)?, digits(day)?)
}

/// Parses `YYYY-MM-DD HH:MM:SS`, in UTC and whole seconds.
pub fn moment(text: &str) -> Option<NaiveDateTime> {
    let (day, time) = text.split_once(' ')?;
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let time = NaiveTime::from_hms_opt(digits(hour)?, digits(minute)?, digits(second)?)?;
    Some(date(day)?.and_time(time))
}

/// Parses one to four digits.
fn digits(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A double in the syntax of Postgres for numeric.
fn numeric(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{number:e}")
    }
}

/// The value as JSON text.
fn json(value: Scalar<'_>) -> String {
    let tree = match value {
        Scalar::Nil => Value::Nil,
        Scalar::Bool(flag) => Value::Bool(flag),
        Scalar::Int(number) => Value::Int(number),
        Scalar::Double(number) => Value::Double(number),
        Scalar::String(text) | Scalar::DateTime(text) => Value::String(text.into_owned()),
        Scalar::Base64(bytes) => Value::Base64(bytes),
        Scalar::Tree(tree) => tree,
    };
    tree.to_json().to_string()
}

/// Decodes base64. Odoo wraps it into lines.
fn decode_base64(text: &str) -> Result<Vec<u8>, Misfit> {
    let compact: String = text.split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(compact).map_err(|_| misread("base64"))
}

/// The reason for a value of another type. It omits the value, which may be secret or long.
pub fn misfit(found: &Scalar<'_>, expected: &str) -> Misfit {
    let found = match found {
        Scalar::Nil => "nothing",
        Scalar::Bool(_) => "a boolean",
        Scalar::Int(_) => "a whole number",
        Scalar::Double(_) => "a number",
        Scalar::String(_) => "text",
        Scalar::DateTime(_) => "a date and time",
        Scalar::Base64(_) => "binary data",
        Scalar::Tree(Value::Array(_)) => "a list",
        Scalar::Tree(_) => "a structure",
    };
    format!("found {found}, expected {expected}")
}

/// The reason for a text in a form that Odoo does not write.
pub fn misread(expected: &str) -> Misfit {
    format!("the text is not {expected}")
}
