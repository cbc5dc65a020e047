//! Recognizes the elements of XML-RPC by their names.

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
