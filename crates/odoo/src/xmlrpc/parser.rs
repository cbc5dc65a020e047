//! Parses the XML of an answer one element at a time, and checks that it is complete.
//!
//! The parser is strict where a guess could lose data. It accepts an answer only if the answer is
//! complete, up to `</methodResponse>` and the end of the body. It refuses a DTD, so entities
//! cannot expand.
//!
//! It is lenient where Odoo requires it. It keeps a raw CR, which Odoo sends and other parsers turn
//! into LF. It accepts U+FFFE and U+FFFF, for which other parsers reject the whole page. It does
//! not look for control characters except NUL, so no text contains a NUL.
//!
//! The body may be the login page of another site. Errors therefore contain only names from XML-RPC
//! and positions, and no text of the body.

use super::scalar::scalar;
use super::{Fault, FaultCode, fast_path};
use crate::error::{Error, Result};
use crate::value::{Limits, Scalar, Value, over_limit};
use quick_xml::errors::{IllFormedError, SyntaxError};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesDecl, BytesRef, Event};
use quick_xml::{Error as XmlError, Reader};
use std::borrow::Cow;
use std::io::BufRead;

/// A parser over one document. Each method starts where the previous one ended. quick-xml compares
/// the name of each end tag with its start tag, and checks that text is UTF-8.
pub(super) struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    body: &'a [u8],
    max_depth: usize,
}

impl<'a> Parser<'a> {
    /// Checks the limits and reads the document up to and including `<methodResponse>`.
    pub(super) fn open(body: &'a [u8], limits: &Limits) -> Result<Parser<'a>> {
        if body.len() > limits.max_bytes {
            return Err(over_limit(limits.max_bytes));
        }
        // Neither XML nor a Postgres text can hold NUL. One check here is cheaper than one per
        // value.
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
        let mut parser = Parser { reader, body, max_depth: limits.depth() };
        if body.starts_with(b"<?xml")
            && let Event::Decl(declaration) = parser.read()?
        {
            check_encoding(&declaration)?;
        }
        match parser.tag()? {
            Some(Tag::MethodResponse) => Ok(parser),
            _ => Err(malformed(Tag::MethodResponse.expected())),
        }
    }

    /// Reads to the end of the body. Only comments and white space may follow the document.
    pub(super) fn finish(&mut self) -> Result<()> {
        loop {
            match self.read()? {
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if is_space(&text) => {}
                _ => return Err(self.malformed("something follows </methodResponse>")),
            }
        }
    }

    /// Reads the value after `<value>`, through `</value>`. `depth` arrays and structs enclose it.
    pub(super) fn value(&mut self, depth: usize) -> Result<Scalar<'a>> {
        let (text, tag) = self.text_and_tag()?;
        // A value without a type is a string, and includes its white space.
        let Some(tag) = tag else { return Ok(Scalar::String(text)) };
        if !is_space(&text) {
            return Err(self.malformed("text before the type of a value"));
        }
        let value = match tag {
            Tag::Array | Tag::Struct => Scalar::Tree(self.tree(tag, depth)?),
            Tag::Nil => self.end().map(|()| Scalar::Nil)?,
            _ => scalar(tag, self.text()?).map_err(|cause| self.malformed(cause))?,
        };
        self.end()?;
        Ok(value)
    }

    /// Reads an array or struct through its end tag. This is the only recursion, through `value`.
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

    /// Reads the next member of a struct through its end tag, if the fast path recognizes it.
    pub(super) fn fast_path_member(&mut self) -> Option<fast_path::Member<'a>> {
        let rest = *self.reader.get_ref();
        let before = self.body.len().checked_sub(rest.len())?;
        if !fast_path::may_follow(&self.body[..before]) {
            return None;
        }
        let member = fast_path::member(rest)?;
        self.reader.stream().consume(member.size);
        Some(member)
    }

    /// Reads an array through `</value>`. `element` reads each element through its own `</value>`.
    pub(super) fn array(&mut self, element: impl FnMut(&mut Parser<'a>) -> Result<()>) -> Result<()> {
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

    /// Reads the name of a member, through the `<value>` that follows it.
    pub(super) fn member_name(&mut self) -> Result<Cow<'a, str>> {
        self.expect(Tag::Name)?;
        let name = self.text()?;
        self.expect(Tag::Value)?;
        Ok(name)
    }

    /// Reads the fault after `<value>`, through `</value>`.
    pub(super) fn fault(&mut self) -> Result<Fault> {
        let value = Value::from(self.value(0)?);
        let code = match value.get("faultCode") {
            Some(Value::Int(code)) => FaultCode::Int(*code),
            Some(Value::String(code)) => FaultCode::Text(code.clone()),
            _ => return Err(self.malformed("a fault has no faultCode")),
        };
        let string = value.get("faultString").and_then(Value::as_str).map(str::to_owned);
        Ok(Fault { code, string: string.ok_or_else(|| self.malformed("a fault has no faultString"))? })
    }

    /// Reads the next tag: the element that it starts, or `None` for an end tag. Only white space
    /// may precede it.
    pub(super) fn tag(&mut self) -> Result<Option<Tag>> {
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

    /// Reads a tag, which must start this element.
    pub(super) fn expect(&mut self, tag: Tag) -> Result<()> {
        if self.begins(tag)? { Ok(()) } else { Err(self.malformed(tag.expected())) }
    }

    /// Reads a tag, which must start this element (true) or end the current one (false).
    pub(super) fn begins(&mut self, tag: Tag) -> Result<bool> {
        match self.tag()? {
            None => Ok(false),
            Some(found) if found == tag => Ok(true),
            Some(_) => Err(self.malformed(tag.expected())),
        }
    }

    /// Reads a tag, which must end the current element.
    pub(super) fn end(&mut self) -> Result<()> {
        match self.tag()? {
            None => Ok(()),
            Some(_) => Err(self.malformed("an unexpected element")),
        }
    }

    /// Reads the text of the current element, through its end tag.
    fn text(&mut self) -> Result<Cow<'a, str>> {
        match self.text_and_tag()? {
            (text, None) => Ok(text),
            _ => Err(self.malformed("an element where only text is allowed")),
        }
    }

    /// Reads the text up to the next tag, and that tag. Text in one piece is borrowed.
    fn text_and_tag(&mut self) -> Result<(Cow<'a, str>, Option<Tag>)> {
        let mut text = Cow::Borrowed("");
        loop {
            let piece = match self.read()? {
                Event::Start(element) => return Ok((text, Some(Tag::of(element.name().0)))),
                Event::End(_) => return Ok((text, None)),
                // quick-xml's own content methods would turn CR into LF.
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
        self.reader.read_event().map_err(|error| self.not_xml(&error))
    }

    #[cold]
    fn not_xml(&self, error: &XmlError) -> Error {
        match error {
            // The other syntax errors mean that the body ends before a closing character.
            XmlError::Syntax(syntax) if *syntax != SyntaxError::InvalidBangMarkup => self.truncated(),
            XmlError::IllFormed(IllFormedError::UnclosedReference)
                if self.reader.buffer_position() >= self.body.len() as u64 =>
            {
                self.truncated()
            }
            XmlError::IllFormed(IllFormedError::UnclosedReference) => self.malformed("an & does not start an entity"),
            XmlError::IllFormed(_) => self.malformed("an end tag does not match its start tag"),
            XmlError::Encoding(_) => self.malformed("it is not UTF-8"),
            _ => self.malformed("it is not XML"),
        }
    }

    #[cold]
    fn misplaced(&self, event: &Event<'_>) -> Error {
        match event {
            Event::DocType(_) => malformed("it has a DTD, which XML-RPC does not allow"),
            Event::Decl(_) => self.malformed("an XML declaration is not at the beginning"),
            Event::Eof => self.truncated(),
            _ => self.malformed("text between elements"),
        }
    }

    fn truncated(&self) -> Error {
        malformed(format!("it ends too early, after {} bytes", self.body.len()))
    }

    /// An error at the current position.
    pub(super) fn malformed(&self, what: &str) -> Error {
        malformed(format!("{what} (byte {})", self.reader.buffer_position()))
    }
}

fn malformed(cause: impl Into<String>) -> Error {
    Error::Malformed { cause: cause.into() }
}

/// Refuses encodings other than UTF-8 and ASCII, which the parser would misread.
fn check_encoding(declaration: &BytesDecl<'_>) -> Result<()> {
    const READABLE: [&str; 4] = ["utf-8", "utf8", "us-ascii", "ascii"];
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if READABLE.iter().any(|known| name.eq_ignore_ascii_case(known)) => Ok(()),
        Some(_) => Err(malformed("it declares an encoding other than UTF-8")),
    }
}

/// Resolves `&...;`: the five entities of XML, and references to characters that XML allows.
fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    if let Some(entity) = resolve_xml_entity(reference) {
        return entity.chars().next();
    }
    let character = reference.resolve_char_ref().ok()??;
    let is_allowed = !matches!(character, '\0'..' ' | '\u{FFFE}' | '\u{FFFF}') || "\t\n\r".contains(character);
    is_allowed.then_some(character)
}

fn is_space(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// An element of XML-RPC.
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
    /// The element with this name, with the synonyms of integer and double types.
    pub(super) fn of(name: &str) -> Tag {
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

    /// The text of the error for a missing element.
    pub(super) fn expected(self) -> &'static str {
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
