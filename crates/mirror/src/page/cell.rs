//! Converts values of Odoo to cells of columns. Odoo sends `false` for most unset values.

use super::Column;
use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use ipai_odoo::value::{Scalar, Value};

/// The reason why a value does not fit. The caller adds model, id and field.
pub type Misfit = String;

/// Appends a value to a column, or returns why it does not fit.
pub fn push(column: &mut Column, value: Scalar<'_>) -> Result<(), Misfit> {
    match (column, value) {
        (Column::Boolean(cells), Scalar::Bool(flag)) => cells.push(Some(flag)),
        (column, Scalar::Nil | Scalar::Bool(false)) => column.push_null(),
        (Column::Text(cells), Scalar::String(text)) => cells.push(Some(text.as_bytes())),
        (Column::Integer(cells), Scalar::Int(number)) => {
            cells.push(Some(i32::try_from(number).map_err(|_| "the number is out of range for an integer")?));
        }
        (Column::Bigint(cells), Scalar::Int(number)) => cells.push(Some(number)),
        // Odoo sends integers beyond 32 bits as doubles.
        (Column::Bigint(cells), Scalar::Double(number)) => {
            cells.push(Some(whole(number).ok_or("the number is out of range for an integer")?));
        }
        // [id, display_name], from versions of Odoo that ignore an empty load.
        (Column::Bigint(cells), Scalar::Tree(Value::Array(pair))) => match pair.as_slice() {
            [Value::Int(id), Value::String(_)] => cells.push(Some(*id)),
            _ => return Err("found a list, expected the id of a record".to_owned()),
        },
        (Column::Double(cells), Scalar::Double(number)) => cells.push(Some(number)),
        (Column::Double(cells), Scalar::Int(number)) => cells.push(Some(number as f64)),
        // The shortest text that reads back as the same double.
        (Column::Numeric(cells), Scalar::Double(number)) => cells.push(Some(numeric(number).as_bytes())),
        (Column::Numeric(cells), Scalar::Int(number)) => cells.push(Some(number.to_string().as_bytes())),
        (Column::Date(cells), Scalar::String(text)) => cells.push(Some(date(&text).ok_or_else(|| misread("a date"))?)),
        (Column::Timestamptz(cells), Scalar::String(text) | Scalar::DateTime(text)) => {
            cells.push(Some(moment(&text).ok_or_else(|| misread("a date and time"))?));
        }
        (Column::BigintArray(cells), Scalar::Tree(Value::Array(items))) => {
            cells.push(Some(id_list(&items)?.as_bytes()));
        }
        (Column::Jsonb(cells), value) => cells.push(Some(Value::from(value).to_json().to_string().as_bytes())),
        (Column::Bytea(cells), Scalar::Base64(bytes)) => cells.push(Some(&bytes)),
        (Column::Bytea(cells), Scalar::String(text)) => cells.push(Some(&decode_base64(&text)?)),
        (Column::Bytea(cells), Scalar::Tree(tree)) => match tree.binary_content() {
            Some(Value::Base64(bytes)) => cells.push(Some(bytes)),
            Some(Value::String(text)) => cells.push(Some(&decode_base64(text)?)),
            Some(Value::Nil | Value::Bool(false)) => cells.push(None::<&[u8]>),
            _ => return Err(misfit(&Scalar::Tree(tree), "binary data")),
        },
        (column, other) => return Err(misfit(&other, expected(column))),
    }
    Ok(())
}

/// The write date of a record, or `None` if it is unset.
pub fn write_date(value: &Scalar<'_>) -> Result<Option<NaiveDateTime>, Misfit> {
    match value {
        Scalar::Nil | Scalar::Bool(false) => Ok(None),
        Scalar::String(text) => moment(text).map(Some).ok_or_else(|| misread("a date and time")),
        other => Err(misfit(other, "a date and time")),
    }
}

/// Parses `YYYY-MM-DD`. Odoo does not pad years below 1000.
fn date(text: &str) -> Option<NaiveDate> {
    let [year, month, day] = numbers(text, '-')?;
    NaiveDate::from_ymd_opt(year as i32, month, day)
}

/// Parses `YYYY-MM-DD HH:MM:SS`, in UTC and whole seconds.
fn moment(text: &str) -> Option<NaiveDateTime> {
    let (day, time) = text.split_once(' ')?;
    let [hour, minute, second] = numbers(time, ':')?;
    Some(date(day)?.and_time(NaiveTime::from_hms_opt(hour, minute, second)?))
}

/// Parses three numbers of one to four digits each.
fn numbers(text: &str, separator: char) -> Option<[u32; 3]> {
    let is_number = |part: &&str| matches!(part.len(), 1..=4) && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split(separator);
    let mut number = || parts.next().filter(is_number)?.parse().ok();
    let numbers = [number()?, number()?, number()?];
    parts.next().is_none().then_some(numbers)
}

/// The integer that a double holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// A double in the syntax of Postgres for numeric.
fn numeric(number: f64) -> String {
    match number {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        number if number.is_nan() => "NaN".to_owned(),
        number => format!("{number:e}"),
    }
}

/// An array of ids in the syntax of Postgres, sorted.
fn id_list(items: &[Value]) -> Result<String, Misfit> {
    let ids: Option<Vec<i64>> = items.iter().map(Value::as_i64).collect();
    let mut ids = ids.ok_or_else(|| "found a list of something other than ids".to_owned())?;
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    Ok(format!("{{{}}}", ids.join(",")))
}

/// Decodes base64. Odoo wraps it into lines.
fn decode_base64(text: &str) -> Result<Vec<u8>, Misfit> {
    let unwrapped: String = text.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(unwrapped).map_err(|_| misread("base64"))
}

fn expected(column: &Column) -> &'static str {
    match column {
        Column::Text(_) => "text",
        Column::Integer(_) => "a whole number",
        Column::Bigint(_) => "the id of a record",
        Column::Double(_) | Column::Numeric(_) => "a number",
        Column::Boolean(_) => "a boolean",
        Column::Date(_) => "a date",
        Column::Timestamptz(_) => "a date and time",
        Column::BigintArray(_) => "a list of ids",
        Column::Jsonb(_) => "JSON",
        Column::Bytea(_) => "binary data",
    }
}

/// The reason for a value of another type. It omits the value, which may be secret or long.
fn misfit(found: &Scalar<'_>, expected: &str) -> Misfit {
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
fn misread(expected: &str) -> Misfit {
    format!("the text is not {expected}")
}
