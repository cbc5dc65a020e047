//! Encodes a request as the `methodCall` document that Python's `xmlrpc.client` writes, without the
//! line breaks.

use crate::error::{Error, Result, SqlState};
use crate::value::Value;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt::Write;

/// Encodes a call of `method`. Each parameter has a name, which errors use.
///
/// # Errors
/// SQLSTATE 22021 for a character that XML cannot carry. The text may be a password, so the error
/// contains only the path to the value (`args[2].domain[0][2]`) and the code point.
pub fn encode_call(method: &str, params: &[(&str, &Value)]) -> Result<String> {
    let mut xml = String::from("<?xml version='1.0'?><methodCall>");
    write_escaped(&mut xml, "methodName", method).map_err(|refusal| refusal.within("method"))?;
    xml.push_str("<params>");
    for (name, value) in params {
        xml.push_str("<param>");
        write_value(&mut xml, value).map_err(|refusal| refusal.within(name))?;
        xml.push_str("</param>");
    }
    xml.push_str("</params></methodCall>");
    Ok(xml)
}

/// A character that XML cannot carry. The path grows from the inside out while the error is
/// returned, so valid values cost nothing.
struct Refusal {
    path: String,
    character: char,
}

impl Refusal {
    fn under(self, step: &str) -> Refusal {
        Refusal { path: format!("{step}{}", self.path), ..self }
    }

    fn within(self, argument: &str) -> Error {
        let Refusal { path, character } = self;
        let code = u32::from(character);
        let message = format!("{argument}{path} contains the character U+{code:04X}, which XML-RPC cannot carry");
        Error::user(SqlState::InvalidCharacter, message).with_hint("Remove the character.")
    }
}

fn write_value(xml: &mut String, value: &Value) -> std::result::Result<(), Refusal> {
    xml.push_str("<value>");
    match value {
        Value::Nil => xml.push_str("<nil/>"),
        Value::Bool(boolean) => write_unescaped(xml, "boolean", i32::from(*boolean)),
        // `int` has 32 bits in XML-RPC. Odoo reads larger integers as `i8`.
        Value::Int(integer) => match i32::try_from(*integer) {
            Ok(integer) => write_unescaped(xml, "int", integer),
            Err(_) => write_unescaped(xml, "i8", integer),
        },
        Value::Double(double) if double.is_nan() => write_unescaped(xml, "double", "nan"),
        // Debug writes the shortest digits that read back as the same double. Python's float()
        // reads them, including `inf`.
        Value::Double(double) => write_unescaped(xml, "double", format_args!("{double:?}")),
        Value::String(text) => write_escaped(xml, "string", text)?,
        Value::DateTime(text) => write_escaped(xml, "dateTime.iso8601", text)?,
        Value::Base64(bytes) => write_unescaped(xml, "base64", BASE64_STANDARD.encode(bytes)),
        Value::Array(elements) => {
            xml.push_str("<array><data>");
            for (index, element) in elements.iter().enumerate() {
                write_value(xml, element).map_err(|refusal| refusal.under(&format!("[{index}]")))?;
            }
            xml.push_str("</data></array>");
        }
        Value::Struct(members) => {
            xml.push_str("<struct>");
            for (name, value) in members {
                xml.push_str("<member>");
                // The name itself is invalid here, so it cannot be part of the path.
                write_escaped(xml, "name", name).map_err(|refusal| refusal.under(" (a member name)"))?;
                write_value(xml, value).map_err(|refusal| refusal.under(&format!(".{name}")))?;
                xml.push_str("</member>");
            }
            xml.push_str("</struct>");
        }
    }
    xml.push_str("</value>");
    Ok(())
}

/// Writes an element whose content needs no escaping.
fn write_unescaped(xml: &mut String, element: &str, content: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(xml, "<{element}>{content}</{element}>");
}

/// Writes an element with a text.
fn write_escaped(xml: &mut String, element: &str, text: &str) -> std::result::Result<(), Refusal> {
    let _ = write!(xml, "<{element}>");
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            // XML parsers normalize line ends, so Odoo would receive a raw CR as LF.
            '\r' => xml.push_str("&#13;"),
            '\t' | '\n' => xml.push(character),
            '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => return Err(Refusal { path: String::new(), character }),
            _ => xml.push(character),
        }
    }
    let _ = write!(xml, "</{element}>");
    Ok(())
}
