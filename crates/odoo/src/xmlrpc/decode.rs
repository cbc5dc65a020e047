//! The answer: a `methodResponse` document, read by a pull parser, as a tree or straight into columns.
//!
//! Strict where doubt could lose data: an answer counts only when it is complete, up to `</methodResponse>` and the end
//! of the body, and every value in it is what its type says. There is no DTD, so entities cannot expand.
//! Lenient where Odoo needs it: CR is kept as it stands (Odoo sends it raw, other parsers would turn it into LF), and
//! U+FFFE and U+FFFF are let through, for which other parsers reject the whole page. Control characters are not looked
//! for either, but for NUL: no text that comes from here contains one.
//!
//! No error here repeats text of the body, which may be anybody's login page: only names from XML-RPC, and positions.

use std::borrow::Cow;
use std::io::BufRead;

use base64::prelude::{BASE64_STANDARD, Engine};
use quick_xml::errors::{IllFormedError, SyntaxError};
use quick_xml::events::{BytesDecl, Event};
use quick_xml::{Error as XmlError, Reader};

use super::fast_path;
use super::value::Value;
use crate::error::{Error, Result};

/// How much an answer may ask of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and structs inside each other. Reading them recurses, so more than 128 counts as 128.
    pub max_depth: usize,
    /// Size of the body.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_depth: 64,
            max_bytes: 256 << 20,
        }
    }
}

/// Far above what any answer needs, far below what overflows a stack.
const DEEPEST: usize = 128;

/// An error that Odoo reports, as it reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of error.
    pub code: FaultCode,
    /// The message; for an unexpected error a whole Python traceback.
    pub string: String,
}

/// The faultCode: an integer from `/xmlrpc/2`, a text from `/xmlrpc/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultCode {
    /// As XML-RPC defines it.
    Int(i64),
    /// Such as `AccessDenied`, or the last line of a traceback.
    Text(String),
}

/// What a well-formed answer says: a result, or a fault.
pub type Answer<T> = std::result::Result<T, Fault>;

/// A value as it stands in the document: text is borrowed from the body wherever nothing had to be unescaped.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `<nil/>`
    Nil,
    /// `<boolean>`
    Bool(bool),
    /// `<int>` and its kin
    Int(i64),
    /// `<double>`
    Double(f64),
    /// `<string>`, or a value without a type
    String(Cow<'a, str>),
    /// `<dateTime.iso8601>`, as it is written
    DateTime(Cow<'a, str>),
    /// `<base64>`, decoded
    Base64(Vec<u8>),
    /// An array or a struct
    Tree(Value),
}

impl<'a> Scalar<'a> {
    /// The content of an element that is not empty; an error says what is wrong with it.
    pub(super) fn of(tag: Tag, text: Cow<'a, str>) -> std::result::Result<Self, &'static str> {
        match tag {
            Tag::String => Ok(Scalar::String(text)),
            Tag::Int => match trim(&text).parse() {
                Ok(integer) => Ok(Scalar::Int(integer)),
                Err(_) => Err("an integer that is none, or is beyond 64 bits"),
            },
            Tag::Boolean => match trim(&text) {
                "0" => Ok(Scalar::Bool(false)),
                "1" => Ok(Scalar::Bool(true)),
                _ => Err("a boolean that is neither 0 nor 1"),
            },
            Tag::Double => match trim(&text).parse() {
                Ok(double) => Ok(Scalar::Double(double)),
                Err(_) => Err("a double that is no number"),
            },
            Tag::DateTime => Ok(Scalar::DateTime(text)),
            Tag::Base64 => {
                // Python breaks the lines.
                let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
                let bytes = BASE64_STANDARD.decode(digits);
                bytes.map(Scalar::Base64).map_err(|_| "base64 that cannot be decoded")
            }
            _ => Err("a value of a type that XML-RPC does not have"),
        }
    }
}

impl From<Scalar<'_>> for Value {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Nil => Value::Nil,
            Scalar::Bool(boolean) => Value::Bool(boolean),
            Scalar::Int(integer) => Value::Int(integer),
            Scalar::Double(double) => Value::Double(double),
            Scalar::String(text) => Value::String(text.into_owned()),
            Scalar::DateTime(text) => Value::DateTime(text.into_owned()),
            Scalar::Base64(bytes) => Value::Base64(bytes),
            Scalar::Tree(value) => value,
        }
    }
}

impl From<Value> for Scalar<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil => Scalar::Nil,
            Value::Bool(boolean) => Scalar::Bool(boolean),
            Value::Int(integer) => Scalar::Int(integer),
            Value::Double(double) => Scalar::Double(double),
            Value::String(text) => Scalar::String(text.into()),
            Value::DateTime(text) => Scalar::DateTime(text.into()),
            Value::Base64(bytes) => Scalar::Base64(bytes),
            tree @ (Value::Array(_) | Value::Struct(_)) => Scalar::Tree(tree),
        }
    }
}

/// What takes the rows of an answer.
///
/// Rows come while the document is being read. An error after them means that none of them counts.
pub trait RowVisitor {
    /// The column of a member, or None to skip it. Called for each member of each row, so keep it cheap.
    fn column(&mut self, member: &str) -> Option<usize>;
    /// A value of the current row.
    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()>;
    /// The current row is complete.
    fn end_row(&mut self) -> Result<()>;
}

/// The whole answer as a tree. For small answers; rows are better read by `decode_rows`.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Answer<Value>> {
    read_answer(body, limits, |parser| Ok(parser.value(0)?.into()))
}

/// An answer that is an array of structs (`search_read`), straight into the visitor.
pub fn decode_rows<V: RowVisitor + ?Sized>(body: &[u8], limits: &Limits, visitor: &mut V) -> Result<Answer<()>> {
    read_answer(body, limits, |parser| {
        parser.array(|parser| {
            parser.expect(Tag::Struct)?;
            loop {
                if let Some(member) = parser.fast_path_member() {
                    if let Some(column) = visitor.column(member.name) {
                        visitor.value(column, member.value)?;
                    }
                    continue;
                }
                if !parser.begins(Tag::Member)? {
                    break;
                }
                let name = parser.member_name()?;
                let column = visitor.column(&name);
                // Inside an array and a struct.
                let value = parser.value(2)?;
                if let Some(column) = column {
                    visitor.value(column, value)?;
                }
                parser.end()?;
            }
            parser.end()?;
            visitor.end_row()
        })
    })
}

/// An answer that is an array of integers (`search`).
pub fn decode_ids(body: &[u8], limits: &Limits) -> Result<Answer<Vec<i64>>> {
    read_answer(body, limits, |parser| {
        let mut ids = Vec::new();
        parser.array(|parser| match parser.value(1)? {
            Scalar::Int(id) => {
                ids.push(id);
                Ok(())
            }
            _ => Err(parser.malformed("expected <int>")),
        })?;
        Ok(ids)
    })
}

/// Reads a `methodResponse` from its first byte to its last. `read` takes the result's value, after `<value>` up to and
/// with `</value>`. A fault has no shape of its own, so it is the same for every reader.
fn read_answer<'a, T>(
    body: &'a [u8],
    limits: &Limits,
    read: impl FnOnce(&mut Parser<'a>) -> Result<T>,
) -> Result<Answer<T>> {
    let mut parser = Parser::open(body, limits)?;
    let answer = match parser.tag()? {
        Some(Tag::Params) => {
            parser.expect(Tag::Param)?;
            parser.expect(Tag::Value)?;
            let value = read(&mut parser)?;
            parser.end()?;
            Ok(value)
        }
        Some(Tag::Fault) => {
            parser.expect(Tag::Value)?;
            Err(parser.fault()?)
        }
        _ => return Err(parser.malformed("expected <params> or <fault>")),
    };
    parser.end()?;
    parser.end()?;
    parser.finish()?;
    Ok(answer)
}

/// The elements of XML-RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    MethodResponse,
    Params,
    Param,
    Fault,
    Value,
    Array,
    Data,
    Struct,
    Member,
    Name,
    Int,
    Double,
    Boolean,
    String,
    DateTime,
    Base64,
    Nil,
    Unknown,
}

impl Tag {
    fn of(name: &str) -> Tag {
        match name {
            "value" => Tag::Value,
            "member" => Tag::Member,
            "name" => Tag::Name,
            "string" => Tag::String,
            "int" | "i4" | "i8" | "i1" | "i2" | "i64" | "ex:i8" | "biginteger" => Tag::Int,
            "boolean" => Tag::Boolean,
            "double" | "float" => Tag::Double,
            "struct" => Tag::Struct,
            "array" => Tag::Array,
            "data" => Tag::Data,
            "nil" | "ex:nil" => Tag::Nil,
            "dateTime.iso8601" => Tag::DateTime,
            "base64" => Tag::Base64,
            "methodResponse" => Tag::MethodResponse,
            "params" => Tag::Params,
            "param" => Tag::Param,
            "fault" => Tag::Fault,
            _ => Tag::Unknown,
        }
    }

    /// What an error says when the element is missing.
    fn expected(self) -> &'static str {
        match self {
            Tag::MethodResponse => "the document does not begin with <methodResponse>",
            Tag::Param => "expected <param>",
            Tag::Value => "expected <value>",
            Tag::Array => "expected <array>",
            Tag::Data => "expected <data>",
            Tag::Struct => "expected <struct>",
            Tag::Member => "expected <member>",
            Tag::Name => "expected <name>",
            _ => "expected another element",
        }
    }
}

/// The document, one step at a time. Each method starts after what the one before it took.
///
/// quick-xml compares the name of each end tag with its start tag, and checks that text is UTF-8.
struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    body: &'a [u8],
    max_depth: usize,
}

impl<'a> Parser<'a> {
    /// Begins the document: limits, declaration, `<methodResponse>`.
    fn open(body: &'a [u8], limits: &Limits) -> Result<Parser<'a>> {
        if body.len() > limits.max_bytes {
            return Err(Error::Limit {
                limit: if limits.max_bytes.is_multiple_of(1 << 20) {
                    format!("{} MiB", limits.max_bytes >> 20)
                } else {
                    format!("{} bytes", limits.max_bytes)
                },
                hint: "Lower the page size of the mirror, or mirror fewer fields.".into(),
            });
        }
        // Neither XML nor a Postgres text can hold it. Once here is cheaper than at each value.
        if body.contains(&0) {
            return Err(malformed("it contains a NUL character"));
        }
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        match body.trim_ascii().first() {
            Some(b'<') => {}
            Some(_) => return Err(malformed(Tag::MethodResponse.expected())),
            None => return Err(malformed("it is empty")),
        }
        let mut reader = Reader::from_reader(body);
        reader.config_mut().expand_empty_elements = true;
        let mut parser = Parser {
            reader,
            body,
            max_depth: limits.max_depth.min(DEEPEST),
        };
        if body.starts_with(b"<?xml") {
            if let Event::Decl(declaration) = parser.read()? {
                check_encoding(&declaration)?;
            }
        }
        match parser.tag()? {
            Some(Tag::MethodResponse) => Ok(parser),
            _ => Err(malformed(Tag::MethodResponse.expected())),
        }
    }

    /// Ends the document: nothing that means anything may follow.
    fn finish(&mut self) -> Result<()> {
        loop {
            match self.read()? {
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if is_space(&text) => {}
                _ => return Err(self.malformed("something follows </methodResponse>")),
            }
        }
    }

    /// The value after `<value>`, up to and with `</value>`, inside of `depth` arrays and structs.
    fn value(&mut self, depth: usize) -> Result<Scalar<'a>> {
        let value = match self.text_and_tag()? {
            // A value without a type is a string, and its white space belongs to it.
            (text, None) => return Ok(Scalar::String(text)),
            (text, Some(tag)) if is_space(&text) => match tag {
                Tag::Array | Tag::Struct => Scalar::Tree(self.tree(tag, depth)?),
                _ => self.scalar(tag)?,
            },
            _ => return Err(self.malformed("text before the type of a value")),
        };
        self.end()?;
        Ok(value)
    }

    /// The array or struct that has begun, up to and with its end. The only recursion, by way of `value`.
    fn tree(&mut self, tag: Tag, depth: usize) -> Result<Value> {
        if depth >= self.max_depth {
            return Err(malformed(format!("it is nested deeper than {}", self.max_depth)));
        }
        if tag == Tag::Array {
            let mut elements = Vec::new();
            self.array_content(|parser| {
                elements.push(parser.value(depth + 1)?.into());
                Ok(())
            })?;
            Ok(Value::Array(elements))
        } else {
            let mut members = Vec::new();
            while self.begins(Tag::Member)? {
                let name = self.member_name()?.into_owned();
                members.push((name, self.value(depth + 1)?.into()));
                self.end()?;
            }
            Ok(Value::Struct(members))
        }
    }

    /// The content of the type element that has begun, up to and with its end.
    fn scalar(&mut self, tag: Tag) -> Result<Scalar<'a>> {
        if tag == Tag::Nil {
            self.end()?;
            return Ok(Scalar::Nil);
        }
        let text = self.text()?;
        Scalar::of(tag, text).map_err(|cause| self.malformed(cause))
    }

    /// The next member of a struct, up to and with its end, if it is written as nearly all are.
    fn fast_path_member(&mut self) -> Option<fast_path::Member<'a>> {
        let rest = *self.reader.get_ref();
        let before = self.body.len().checked_sub(rest.len())?;
        if !fast_path::may_follow(&self.body[..before]) {
            return None;
        }
        let member = fast_path::member(rest)?;
        self.reader.stream().consume(member.size);
        Some(member)
    }

    /// A value that must be an array, up to and with `</value>`. `element` takes each element up to and with its own.
    fn array(&mut self, element: impl FnMut(&mut Parser<'a>) -> Result<()>) -> Result<()> {
        self.expect(Tag::Array)?;
        self.array_content(element)?;
        self.end()
    }

    fn array_content(&mut self, mut element: impl FnMut(&mut Parser<'a>) -> Result<()>) -> Result<()> {
        self.expect(Tag::Data)?;
        while self.begins(Tag::Value)? {
            element(self)?;
        }
        self.end()
    }

    /// The name of a member, up to and with the `<value>` after it.
    fn member_name(&mut self) -> Result<Cow<'a, str>> {
        self.expect(Tag::Name)?;
        let name = self.text()?;
        self.expect(Tag::Value)?;
        Ok(name)
    }

    /// The fault after `<value>`, up to and with `</value>`.
    fn fault(&mut self) -> Result<Fault> {
        let value = Value::from(self.value(0)?);
        let code = match value.get("faultCode") {
            Some(Value::Int(code)) => FaultCode::Int(*code),
            Some(Value::String(code)) => FaultCode::Text(code.clone()),
            _ => return Err(self.malformed("a fault without a faultCode")),
        };
        match value.get("faultString") {
            Some(Value::String(string)) => Ok(Fault {
                code,
                string: string.clone(),
            }),
            _ => Err(self.malformed("a fault without a faultString")),
        }
    }

    /// The next tag: an element that begins, or None for the end of the current one. Only white space may come before.
    fn tag(&mut self) -> Result<Option<Tag>> {
        loop {
            match self.read()? {
                Event::Start(element) => return Ok(Some(Tag::of(element.name().0))),
                Event::End(_) => return Ok(None),
                Event::Text(text) if is_space(&text) => {}
                Event::Comment(_) | Event::PI(_) => {}
                event => return Err(self.misplaced(&event)),
            }
        }
    }

    /// The next tag must begin this element.
    fn expect(&mut self, tag: Tag) -> Result<()> {
        if self.begins(tag)? {
            Ok(())
        } else {
            Err(self.malformed(tag.expected()))
        }
    }

    /// The next tag must begin this element (true), or end the current one (false).
    fn begins(&mut self, tag: Tag) -> Result<bool> {
        match self.tag()? {
            None => Ok(false),
            Some(found) if found == tag => Ok(true),
            Some(_) => Err(self.malformed(tag.expected())),
        }
    }

    /// The next tag must end the current element.
    fn end(&mut self) -> Result<()> {
        match self.tag()? {
            None => Ok(()),
            Some(_) => Err(self.malformed("an element that does not belong there")),
        }
    }

    /// The text of the current element, up to and with its end.
    fn text(&mut self) -> Result<Cow<'a, str>> {
        match self.text_and_tag()? {
            (text, None) => Ok(text),
            _ => Err(self.malformed("an element where only text belongs")),
        }
    }

    /// The text up to the next tag, and that tag, or None if it is an end. Borrowed if the text is in one piece.
    fn text_and_tag(&mut self) -> Result<(Cow<'a, str>, Option<Tag>)> {
        let mut text = Cow::Borrowed("");
        loop {
            let piece = match self.read()? {
                Event::Start(element) => return Ok((text, Some(Tag::of(element.name().0)))),
                Event::End(_) => return Ok((text, None)),
                // Not quick-xml's own content methods: those turn CR into LF.
                Event::Text(piece) => piece.into_inner(),
                Event::CData(piece) => piece.into_inner(),
                Event::GeneralRef(reference) => match resolve(&reference) {
                    Some(character) => {
                        text.to_mut().push(character);
                        continue;
                    }
                    None => return Err(self.malformed("an unknown entity, or a character that XML forbids")),
                },
                Event::Comment(_) | Event::PI(_) => continue,
                event => return Err(self.misplaced(&event)),
            };
            if text.is_empty() {
                text = piece;
            } else {
                text.to_mut().push_str(&piece);
            }
        }
    }

    fn read(&mut self) -> Result<Event<'a>> {
        match self.reader.read_event() {
            Ok(event) => Ok(event),
            Err(error) => Err(self.not_xml(&error)),
        }
    }

    #[cold]
    fn not_xml(&self, error: &XmlError) -> Error {
        match error {
            XmlError::Syntax(SyntaxError::InvalidBangMarkup) => self.malformed("it is not XML"),
            // All others say that the end came before a closing character.
            XmlError::Syntax(_) => self.truncated(),
            XmlError::IllFormed(IllFormedError::UnclosedReference) if self.at_end() => self.truncated(),
            XmlError::IllFormed(IllFormedError::UnclosedReference) => self.malformed("an & that begins no entity"),
            XmlError::IllFormed(_) => self.malformed("an end tag that fits no start tag"),
            XmlError::Encoding(_) => self.malformed("it is not UTF-8"),
            _ => self.malformed("it is not XML"),
        }
    }

    #[cold]
    fn misplaced(&self, event: &Event<'_>) -> Error {
        match event {
            Event::DocType(_) => malformed("it has a DTD, which XML-RPC does not allow"),
            Event::Decl(_) => self.malformed("an XML declaration that is not at the beginning"),
            Event::Eof => self.truncated(),
            _ => self.malformed("text between elements"),
        }
    }

    fn at_end(&self) -> bool {
        self.reader.buffer_position() >= self.body.len() as u64
    }

    fn truncated(&self) -> Error {
        malformed(format!("it ends too early, after {} bytes", self.body.len()))
    }

    fn malformed(&self, what: &str) -> Error {
        malformed(format!("{what} (byte {})", self.reader.buffer_position()))
    }
}

fn malformed(cause: impl Into<String>) -> Error {
    Error::Malformed { cause: cause.into() }
}

/// Any other encoding would be read as rubbish, or not at all.
fn check_encoding(declaration: &BytesDecl<'_>) -> Result<()> {
    let readable = match declaration.encoding() {
        None => true,
        Some(Ok(name)) => ["utf-8", "utf8", "us-ascii", "ascii"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known)),
        Some(Err(_)) => false,
    };
    if readable {
        Ok(())
    } else {
        Err(malformed("it declares an encoding other than UTF-8"))
    }
}

/// The character behind `&...;`: the five entities of XML, and numbers of characters that XML allows.
fn resolve(reference: &str) -> Option<char> {
    let number = match reference {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => reference.strip_prefix('#')?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // from_str_radix would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let character = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    match character {
        '\t' | '\n' | '\r' => Some(character),
        '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => None,
        _ => Some(character),
    }
}

fn is_space(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Only what is white space in XML.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}
