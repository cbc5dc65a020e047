//! Makes texts from Odoo and the network fit to show and to store, and quotes texts for SQL.

use crate::error::Error;

/// Longest text that is shown, in characters without the mark of a cut.
const LONGEST: usize = 2_000;
/// Length of that mark.
const MARK: usize = 4;
/// Longest text that is searched for the password, in characters. Redaction shortens texts, so this
/// is more than is shown.
const SEARCHED: usize = 64_000;

/// Whether a character is a control character that XML cannot carry. Odoo removes it from XML.
pub(crate) fn is_control(character: char) -> bool {
    character < ' ' && !matches!(character, '\t' | '\n' | '\r')
}

/// The text without these characters.
pub(crate) fn without_control(text: &str) -> String {
    text.replace(is_control, "")
}

/// Bounds texts, replaces control and invisible characters by U+FFFD, and replaces the password.
///
/// Names that code acts on (of fields and models, types of fields) need a cleaner without a
/// password: a short one may be part of a name.
#[derive(Default)]
pub struct Cleaner {
    /// The spellings of each character of the password.
    password: Vec<Vec<String>>,
}

impl Cleaner {
    /// A cleaner for texts that may contain this password. A text may lack the white space around
    /// it.
    pub fn new(password: &str) -> Self {
        Cleaner { password: password.trim().chars().map(spellings).collect() }
    }

    /// A text in one line.
    pub fn line(&self, text: &str) -> String {
        self.text(text).replace('\n', REPLACEMENT)
    }

    /// A text that may have several lines.
    pub fn text(&self, text: &str) -> String {
        self.shown(text, first, |kept| format!("{kept} ..."))
    }

    /// The end of a text of several lines. A traceback ends with its cause.
    pub fn end(&self, text: &str) -> String {
        self.shown(text, last, |kept| format!("... {kept}"))
    }

    /// An error with clean texts.
    pub fn error(&self, mut error: Error) -> Error {
        match &mut error {
            Error::Connection { cause: text } | Error::OdooAccess(text) | Error::UnknownField { field: text, .. } => {
                *text = self.line(text);
            }
            Error::OdooFault { message, traceback } => {
                (*message, *traceback) = (self.line(message), self.end(traceback));
            }
            Error::Postgres(error) => {
                let texts = [Some(&mut error.message), error.detail.as_mut(), error.hint.as_mut()];
                texts.into_iter().flatten().for_each(|text| *text = self.text(text));
            }
            // The others contain no text from outside.
            _ => {}
        }
        error
    }

    fn shown(&self, text: &str, part: fn(&str, usize) -> &str, cut: fn(String) -> String) -> String {
        let searched = part(text, SEARCHED);
        let redacted = self.redacted(searched);
        let clean = |text: &str| text.replace("\r\n", "\n").replace(is_hidden, REPLACEMENT);
        // A text that was cut before stays as it is.
        match searched.len() == text.len() && part(&redacted, LONGEST + MARK).len() == redacted.len() {
            true => clean(&redacted),
            false => cut(clean(part(&redacted, LONGEST))),
        }
    }

    fn redacted(&self, text: &str) -> String {
        let (mut redacted, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(character) = rest.chars().next() {
            let password = self.password_in(rest);
            match password {
                Some(_) => redacted.push_str("***"),
                None => redacted.push(character),
            }
            rest = &rest[password.unwrap_or(character.len_utf8())..];
        }
        redacted
    }

    /// Length of the password at the beginning of a text, in its longest spelling.
    fn password_in(&self, text: &str) -> Option<usize> {
        let mut ends = vec![0];
        for spellings in &self.password {
            let after = |end: usize| {
                let found = spellings.iter().filter(move |spelling| text[end..].starts_with(spelling.as_str()));
                found.map(move |spelling| end + spelling.len())
            };
            ends = ends.into_iter().flat_map(after).collect();
            ends.sort_unstable();
            ends.dedup();
        }
        ends.last().copied().filter(|end| *end > 0)
    }
}

const REPLACEMENT: &str = "\u{fffd}";

/// Whether a character is a control character, invisible, or changes how the text around it looks.
fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

/// The first characters.
fn first(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

/// The last characters.
fn last(text: &str, most: usize) -> &str {
    text.char_indices().nth_back(most - 1).map_or(text, |(start, _)| &text[start..])
}

/// The spellings of a character in texts of Python, JSON, XML, URLs and SQL.
fn spellings(character: char) -> Vec<String> {
    let code = u32::from(character);
    let utf8 = |byte: fn(u8) -> String| character.to_string().bytes().map(byte).collect::<String>();
    let utf16 = |unit: fn(&u16) -> String| character.encode_utf16(&mut [0; 2]).iter().map(unit).collect::<String>();
    let mut spellings = vec![
        character.to_string(),
        utf8(|byte| format!("%{byte:02x}")),
        utf8(|byte| format!("%{byte:02X}")),
        utf8(|byte| format!("\\x{byte:02x}")),
        utf16(|unit| format!("\\u{unit:04x}")),
        utf16(|unit| format!("\\u{unit:04X}")),
        format!("\\x{code:02x}"),
        format!("\\U{code:08x}"),
        format!("&#{code};"),
        format!("&#x{code:x};"),
        format!("&#x{code:X};"),
    ];
    let named: &[&str] = match character {
        ' ' => &["+"],
        // The message of a fault has one line.
        '\n' => &["\\n", " "],
        '\r' => &["\\r"],
        '\t' => &["\\t"],
        // A URL parser replaces a backslash in a path.
        '\\' => &["\\\\", "/"],
        '/' => &["\\/"],
        '\'' => &["\\'", "''", "&apos;"],
        '"' => &["\\\"", "&quot;"],
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        _ => &[],
    };
    spellings.extend(named.iter().map(|spelling| (*spelling).to_owned()));
    spellings
}

/// A text as an SQL literal, valid for both values of `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
