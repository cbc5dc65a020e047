//! The request: a `methodCall` document, in the shape that Python's `xmlrpc.client` writes, without the line breaks.

use std::fmt::Write;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::value::Value;
use crate::error::{Error, Result};

/// A `methodCall` of `method` with these parameters, each with the name by which an error calls it.
///
/// A parameter may be a password, so an error names the place (`args[2].domain[0][2]`) and the code point, never the
/// text around it.
pub fn encode_call(method: &str, params: &[(&str, &Value)]) -> Result<String> {
    let mut xml = String::from("<?xml version='1.0'?><methodCall><methodName>");
    write_text(&mut xml, method).map_err(|refusal| refusal.within("method"))?;
    xml.push_str("</methodName><params>");
    for (name, value) in params {
        xml.push_str("<param>");
        write_value(&mut xml, value).map_err(|refusal| refusal.within(name))?;
        xml.push_str("</param>");
    }
    xml.push_str("</params></methodCall>");
    Ok(xml)
}

/// A character that cannot be sent. The path to it grows from the inside out, so that it costs nothing until then.
struct Refusal {
    path: String,
    character: char,
}

impl Refusal {
    fn under(self, step: &str) -> Refusal {
        Refusal {
            path: format!("{step}{}", self.path),
            ..self
        }
    }

    fn within(self, argument: &str) -> Error {
        Error::Unencodable {
            argument: format!("{argument}{}", self.path),
            character: self.character.into(),
        }
    }
}

fn write_value(xml: &mut String, value: &Value) -> std::result::Result<(), Refusal> {
    xml.push_str("<value>");
    match value {
        Value::Nil => xml.push_str("<nil/>"),
        Value::Bool(boolean) => write_plain(xml, "boolean", i32::from(*boolean)),
        // Beyond 32 bits `int` is not XML-RPC; Odoo's server reads `i8`.
        Value::Int(integer) => match i32::try_from(*integer) {
            Ok(integer) => write_plain(xml, "int", integer),
            Err(_) => write_plain(xml, "i8", integer),
        },
        Value::Double(double) if double.is_nan() => write_plain(xml, "double", "nan"),
        // Debug gives the shortest digits that read back as the same double, and Python's float() reads them, `inf` too.
        Value::Double(double) => write_plain(xml, "double", format_args!("{double:?}")),
        Value::String(text) => {
            xml.push_str("<string>");
            write_text(xml, text)?;
            xml.push_str("</string>");
        }
        Value::DateTime(text) => {
            xml.push_str("<dateTime.iso8601>");
            write_text(xml, text)?;
            xml.push_str("</dateTime.iso8601>");
        }
        Value::Base64(bytes) => write_plain(xml, "base64", BASE64_STANDARD.encode(bytes)),
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
                xml.push_str("<member><name>");
                // The name itself is at fault here, so it cannot be part of the path.
                write_text(xml, name).map_err(|refusal| refusal.under(" (a member name)"))?;
                xml.push_str("</name>");
                write_value(xml, value).map_err(|refusal| refusal.under(&format!(".{name}")))?;
                xml.push_str("</member>");
            }
            xml.push_str("</struct>");
        }
    }
    xml.push_str("</value>");
    Ok(())
}

/// An element whose content needs no escape.
fn write_plain(xml: &mut String, element: &str, content: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(xml, "<{element}>{content}</{element}>");
}

fn write_text(xml: &mut String, text: &str) -> std::result::Result<(), Refusal> {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            // A raw CR would reach Odoo as LF: every XML parser normalises line ends.
            '\r' => xml.push_str("&#13;"),
            '\t' | '\n' => xml.push(character),
            '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => {
                return Err(Refusal {
                    path: String::new(),
                    character,
                });
            }
            _ => xml.push(character),
        }
    }
    Ok(())
}
