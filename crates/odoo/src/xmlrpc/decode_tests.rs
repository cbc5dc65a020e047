//! Tests of the decoder with answers that no recorded server sent, and with damaged answers.
//! `tests/corpus.rs` tests the recorded answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Answer, Fault, FaultCode, decode, decode_ids, decode_rows};
use crate::error::{Error, Result};
use crate::value::{Limits, RowVisitor, Scalar, Value};
use proptest::prelude::*;
use std::borrow::Cow;

/// A complete answer with this content between `<value>` and `</value>`.
fn answer(content: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<methodResponse><params><param><value>{content}</value></param></params></methodResponse>"
    )
}

fn read(body: impl AsRef<[u8]>) -> Result<Answer<Value>> {
    decode(body.as_ref(), &Limits::default())
}

fn value(content: &str) -> Value {
    read(answer(content)).unwrap().unwrap()
}

fn string(content: &str) -> String {
    value(content).as_str().unwrap().into()
}

/// The cause for which the decoder refuses a body, without the position.
fn cause(body: impl AsRef<[u8]>) -> String {
    match read(body.as_ref()) {
        Err(Error::Malformed { cause }) => cause.split(" (byte ").next().unwrap().into(),
        other => panic!("{other:?} from {:?}", String::from_utf8_lossy(body.as_ref())),
    }
}

fn cause_of_value(content: &str) -> String {
    cause(answer(content))
}

/// Records the calls of the decoder. Skips the member `skipped`.
#[derive(Default)]
struct Log(Vec<String>);

impl RowVisitor for Log {
    fn column(&mut self, member: &str) -> Option<usize> {
        self.0.push(member.into());
        (member != "skipped").then_some(member.len())
    }

    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()> {
        self.0.push(format!("{column}={:?}", Value::from(value)));
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.0.push("end".into());
        Ok(())
    }
}

fn rows(body: impl AsRef<[u8]>) -> (Result<Answer<()>>, Vec<String>) {
    let mut log = Log::default();
    let answer = decode_rows(body.as_ref(), &Limits::default(), &mut log);
    (answer, log.0)
}

fn ids(content: &str) -> Result<Answer<Vec<i64>>> {
    decode_ids(answer(content).as_bytes(), &Limits::default())
}

const TWO_ROWS: &str = "<array><data>\n<value><struct>\n\
    <member>\n<name>id</name>\n<value><int>1</int></value>\n</member>\n\
    <member>\n<name>skipped</name>\n<value><array><data><value><int>1</int></value></data></array></value>\n</member>\n\
    <member>\n<name>a&amp;b</name>\n<value><string>Caf\u{e9} &lt;1&gt;</string></value>\n</member>\n\
    </struct></value>\n<value><struct>\n\
    <member>\n<name>brand</name>\n<value><array><data>\n<value><int>7</int></value>\n<value>x</value>\n</data></array></value>\n</member>\n\
    </struct></value>\n</data></array>";

// Values

#[test]
fn integer_elements_become_integers() {
    for name in ["int", "i1", "i2", "i4", "i8", "i64", "ex:i8", "biginteger"] {
        assert_eq!(value(&format!("<{name}>-5</{name}>")), Value::Int(-5));
    }
    assert_eq!(value("<int> \n7\t</int>"), Value::Int(7));
    assert_eq!(value("<int>+7</int>"), Value::Int(7));
    assert_eq!(value("<i8>-9223372036854775808</i8>"), Value::Int(i64::MIN));
    assert_eq!(value("<i8>9223372036854775807</i8>"), Value::Int(i64::MAX));
    for wrong in ["", " ", "9223372036854775808", "1.0", "1e3", "0x10", "1 2", "1_000", "\u{661}", "False", "- 5"] {
        assert_eq!(cause_of_value(&format!("<int>{wrong}</int>")), "an integer is invalid or exceeds 64 bits");
    }
    assert_eq!(cause_of_value("<int/>"), "an integer is invalid or exceeds 64 bits");
}

#[test]
fn only_0_and_1_are_booleans() {
    assert_eq!(value("<boolean>0</boolean>"), Value::Bool(false));
    assert_eq!(value("<boolean>\n1 </boolean>"), Value::Bool(true));
    for wrong in ["", "2", "01", "true", "-1"] {
        let content = format!("<boolean>{wrong}</boolean>");
        assert_eq!(cause_of_value(&content), "a boolean is neither 0 nor 1");
    }
}

#[test]
fn doubles_in_pythons_notation_are_read_exactly() {
    for (text, double) in [
        ("0.0", 0.0),
        ("-0.0", -0.0),
        ("1e+22", 1e22),
        ("1e-07", 1e-7),
        ("0.30000000000000004", 0.1 + 0.2),
        ("1.7976931348623157e+308", f64::MAX),
        ("5e-324", 5e-324),
        ("inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        (" 1 ", 1.0),
    ] {
        match value(&format!("<double>{text}</double>")) {
            Value::Double(read) => assert_eq!(read.to_bits(), double.to_bits(), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(value("<double>nan</double>"), Value::Double(double) if double.is_nan()));
    assert_eq!(value("<float>1.5</float>"), Value::Double(1.5));
    for wrong in ["", "1,5", "1.5.2", "0x1p3", "one", "1 000.0"] {
        assert_eq!(cause_of_value(&format!("<double>{wrong}</double>")), "a double is not a number");
    }
}

#[test]
fn nil_elements_become_nil() {
    for content in ["<nil/>", "<nil></nil>", "<ex:nil/>", "\n<nil>\n</nil>\n"] {
        assert_eq!(value(content), Value::Nil);
    }
    assert_eq!(cause_of_value("<nil>0</nil>"), "text between elements");
}

#[test]
fn base64_is_decoded() {
    assert_eq!(value("<base64>\nAP\n8=\r\n</base64>"), Value::Base64(vec![0, 0xFF]));
    assert_eq!(value("<base64/>"), Value::Base64(vec![]));
    for wrong in ["A", "AP8", "A*==", "\u{e9}"] {
        assert_eq!(cause_of_value(&format!("<base64>{wrong}</base64>")), "base64 cannot be decoded");
    }
}

#[test]
fn dates_stay_text() {
    let date = Value::DateTime("20260106T00:00:00".into());
    assert_eq!(value("<dateTime.iso8601>20260106T00:00:00</dateTime.iso8601>"), date);
}

#[test]
fn arrays_and_structs_become_trees() {
    assert_eq!(value("<array><data/></array>"), Value::Array(vec![]));
    assert_eq!(value("<struct/>"), Value::Struct(vec![]));
    assert_eq!(value("<struct>\n</struct>"), Value::Struct(vec![]));
    let nested = "<array><data><value><struct><member><name>a</name><value><array><data><value>x</value></data></array>\
                  </value></member></struct></value><value><nil/></value></data></array>";
    let inner = Value::Struct(vec![("a".into(), Value::from_iter(["x"]))]);
    assert_eq!(value(nested), Value::Array(vec![inner, Value::Nil]));
}

// Text

#[test]
fn entities_and_cdata_in_strings_are_resolved() {
    assert_eq!(string("<string></string>"), "");
    assert_eq!(string("<string/>"), "");
    assert_eq!(string("<string> a\n </string>"), " a\n ");
    assert_eq!(string("<string>a<!-- not this -->b<?nor this?>c</string>"), "abc");
    assert_eq!(string("<string>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#x1F600;</string>"), "<>&\"'AB\u{1F600}");
    assert_eq!(string("<string><![CDATA[<b>&amp;]]></string>"), "<b>&amp;");
    assert_eq!(string("<string>a<![CDATA[]]>]]>b</string>"), "a]]>b");
}

#[test]
fn untyped_value_is_a_string_with_its_white_space() {
    assert_eq!(string(""), "");
    assert_eq!(string(" \n"), " \n");
    assert_eq!(string(" a &amp; b "), " a & b ");
    assert_eq!(value(" \n <int>1</int>\t"), Value::Int(1));
    assert_eq!(cause_of_value("a<int>1</int>"), "text before the type of a value");
    assert_eq!(cause_of_value("<int>1</int>a"), "text between elements");
    assert_eq!(cause_of_value("<int>1</int><int>2</int>"), "an unexpected element");
}

#[test]
fn carriage_returns_are_kept() {
    assert_eq!(string("<string>a\r\nb\rc&#13;d&#xD;\n</string>"), "a\r\nb\rc\rd\r\n");
    assert_eq!(string("<string><![CDATA[a\r\nb]]></string>"), "a\r\nb");
    assert_eq!(string("a\r\nb"), "a\r\nb");
}

#[test]
fn forbidden_characters_except_nul_are_kept() {
    assert_eq!(string("<string>x\u{FFFE}y\u{FFFF}z</string>"), "x\u{FFFE}y\u{FFFF}z");
    assert_eq!(string("<string>a\u{1}b\u{1F}</string>"), "a\u{1}b\u{1F}");
    assert_eq!(cause_of_value("<string>a\0b</string>"), "it contains a NUL character");
}

#[test]
fn unknown_entities_and_invalid_references_are_refused() {
    for wrong in [
        "&nbsp;",
        "&xxe;",
        "&;",
        "&#;",
        "&#x;",
        "&#0;",
        "&#8;",
        "&#x1F;",
        "&#xFFFE;",
        "&#65535;",
        "&#xD800;",
        "&#x110000;",
        "&#99999999999;",
        "&#+65;",
        "&#-1;",
        "&#X41;",
        "&#4A;",
        "&# 65;",
        "&LT;",
    ] {
        let content = format!("<string>{wrong}</string>");
        assert_eq!(cause_of_value(&content), "an unknown entity, or a character that XML forbids", "{wrong}");
    }
    assert_eq!(cause_of_value("<string>a & b</string>"), "an & does not start an entity");
    assert_eq!(cause_of_value("<string>a &amp b</string>"), "an & does not start an entity");
}

// The document

#[test]
fn only_prologs_of_utf8_documents_are_accepted() {
    let rest = "<methodResponse><params><param><value><int>1</int></value></param></params></methodResponse>";
    for prolog in [
        "",
        "\u{FEFF}",
        "\n ",
        "<?xml version=\"1.0\"?>",
        "\u{FEFF}<?xml version=\"1.0\"?>\r\n",
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<?xml version='1.0' encoding='utf-8' standalone='yes'?>",
        "<?xml version='1.0' encoding='US-ASCII'?>",
        "<?xml version='1.0'?><!-- comment --><?pi?>",
        "<?xml-stylesheet href='x'?>",
    ] {
        assert_eq!(read(format!("{prolog}{rest}")), Ok(Ok(Value::Int(1))), "{prolog}");
    }
    for encoding in ["iso-8859-1", "UTF-16", "windows-1252", "", "utf-8x"] {
        let prolog = format!("<?xml version='1.0' encoding='{encoding}'?>");
        assert_eq!(cause(format!("{prolog}{rest}")), "it declares an encoding other than UTF-8");
    }
    let twice = "<?xml version='1.0'?><?xml version='1.0'?>";
    assert_eq!(cause(format!("{twice}{rest}")), "an XML declaration is not at the beginning");
}

#[test]
fn documents_other_than_xml_rpc_are_refused() {
    for body in ["<html>", "Bad gateway", "{\"error\": 1}", "<methodCall/>", "<MethodResponse/>", "x<methodResponse/>"]
    {
        assert_eq!(cause(body), "the document does not begin with <methodResponse>", "{body}");
    }
    for body in ["", " \n", "\u{FEFF}"] {
        assert_eq!(cause(body), "it is empty");
    }
    assert_eq!(cause("<!doctype html><html></html>"), "it has a DTD, which XML-RPC does not allow");
    assert_eq!(cause("<methodResponse/>"), "expected <params> or <fault>");
    assert_eq!(cause("<methodResponse><params/></methodResponse>"), "expected <param>");
    assert_eq!(cause("<methodResponse><params><param/></params></methodResponse>"), "expected <value>");
    assert_eq!(cause("<methodResponse><value/></methodResponse>"), "expected <params> or <fault>");
    assert_eq!(cause_of_value("<html></html>"), "a value has a type that XML-RPC does not define");
    assert_eq!(cause_of_value("<value>1</value>"), "a value has a type that XML-RPC does not define");
    assert_eq!(cause_of_value("<array></array>"), "expected <data>");
    assert_eq!(cause_of_value("<array><data><int>1</int></data></array>"), "expected <value>");
    assert_eq!(cause_of_value("<array><data/><data/></array>"), "an unexpected element");
    assert_eq!(cause_of_value("<struct><value/></struct>"), "expected <member>");
    assert_eq!(cause_of_value("<struct><member></member></struct>"), "expected <name>");
    assert_eq!(cause_of_value("<struct><member><name>a</name></member></struct>"), "expected <value>");
    assert_eq!(cause_of_value("<struct><member><value/><name>a</name></member></struct>"), "expected <name>");
    assert_eq!(cause_of_value("<string><b>a</b></string>"), "an element where only text is allowed");
    assert_eq!(cause_of_value("<!ELEMENT a>"), "it is not XML");
    assert_eq!(cause_of_value("<string>a</int>"), "an end tag does not match its start tag");
    let two = "<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>";
    assert_eq!(cause(two), "an unexpected element");
}

#[test]
fn content_after_the_answer_is_refused() {
    let body = answer("<int>1</int>");
    assert_eq!(read(format!("{body}\r\n <!-- x --> <?pi?>\n")), Ok(Ok(Value::Int(1))));
    for rest in ["x", "<a/>", "<methodResponse>", "&amp;", "<![CDATA[ ]]>", "<!DOCTYPE a>", "<?xml version='1.0'?>"] {
        assert_eq!(cause(format!("{body}{rest}")), "something follows </methodResponse>", "{rest}");
    }
    assert_eq!(cause(format!("{body}</methodResponse>")), "an end tag does not match its start tag");
    assert_eq!(cause(format!("{body}\0")), "it contains a NUL character");
    assert!(read(format!("{body}<")).is_err());
}

#[test]
fn bodies_in_other_encodings_are_refused() {
    let body = answer("<string>Caf\u{e9}</string>");
    let latin1: Vec<u8> = body.chars().map(|character| character as u8).collect();
    assert_eq!(cause(latin1), "it is not UTF-8");
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(cause(utf16), "it contains a NUL character");
    for damaged in [&b"\xC0\x80"[..], b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"\xE2\x82"] {
        let mut body = answer("").into_bytes();
        let middle = body.len() - "</value></param></params></methodResponse>".len();
        body.splice(middle..middle, damaged.iter().copied());
        assert_eq!(cause(body), "it is not UTF-8");
    }
}

#[test]
fn declared_entities_are_refused() {
    let laughs = "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'>\
                  <!ENTITY lol2 '&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;'><!ENTITY lol3 '&lol2;&lol2;&lol2;&lol2;'>]>\
                  <methodResponse><params><param><value>&lol3;</value></param></params></methodResponse>";
    let file = "<?xml version='1.0'?><!DOCTYPE a SYSTEM 'file:///etc/passwd'><methodResponse/>";
    for body in [laughs, file] {
        assert_eq!(cause(body), "it has a DTD, which XML-RPC does not allow");
    }
    assert_eq!(cause_of_value("&lol;"), "an unknown entity, or a character that XML forbids");
}

// Faults

fn fault(members: &str) -> String {
    format!("<methodResponse><fault><value><struct>{members}</struct></value></fault></methodResponse>")
}

#[test]
fn faults_have_a_code_and_a_text() {
    let code = "<member><name>faultCode</name><value><int>4</int></value></member>";
    let name = "<member><name>faultCode</name><value>AccessDenied</value></member>";
    let text = "<member><name>faultString</name><value><string>No &amp; no</string></value></member>";
    let expected = |code| Fault { code, string: "No & no".into() };
    assert_eq!(read(fault(&format!("{code}{text}"))), Ok(Err(expected(FaultCode::Int(4)))));
    assert_eq!(read(fault(&format!("{text}{name}"))), Ok(Err(expected(FaultCode::Text("AccessDenied".into())))));
    // All decoders return the same fault.
    let body = fault(&format!("{code}{text}"));
    assert_eq!(rows(&body), (Ok(Err(expected(FaultCode::Int(4)))), vec![]));
    let no_ids = decode_ids(body.as_bytes(), &Limits::default());
    assert_eq!(no_ids, Ok(Err(expected(FaultCode::Int(4)))));

    assert_eq!(cause(fault(code)), "a fault has no faultString");
    assert_eq!(cause(fault(text)), "a fault has no faultCode");
    assert_eq!(cause(fault("")), "a fault has no faultCode");
    assert_eq!(cause("<methodResponse><fault><value>no</value></fault></methodResponse>"), "a fault has no faultCode");
}

// Rows and ids

#[test]
fn visitor_receives_each_row() {
    let (outcome, log) = rows(answer(TWO_ROWS));
    assert_eq!(outcome, Ok(Ok(())));
    assert_eq!(
        log,
        [
            "id",
            "2=Int(1)",
            "skipped",
            "a&b",
            "3=String(\"Caf\u{e9} <1>\")",
            "end",
            "brand",
            "5=Array([Int(7), String(\"x\")])",
            "end"
        ]
    );
    assert_eq!(rows(answer("<array><data>\n</data></array>")), (Ok(Ok(())), vec![]));
    let without_members = "<array><data><value><struct></struct></value></data></array>";
    assert_eq!(rows(answer(without_members)), (Ok(Ok(())), vec!["end".into()]));
}

#[test]
fn text_is_borrowed_unless_escaped() {
    struct Borrowed(Vec<bool>);
    impl RowVisitor for Borrowed {
        fn column(&mut self, _: &str) -> Option<usize> {
            Some(0)
        }
        fn value(&mut self, _: usize, value: Scalar<'_>) -> Result<()> {
            self.0.push(matches!(value, Scalar::String(Cow::Borrowed(_))));
            Ok(())
        }
        fn end_row(&mut self) -> Result<()> {
            Ok(())
        }
    }
    let member = |text| format!("<member><name>a</name><value><string>{text}</string></value></member>");
    let row = [member("x\r\n\u{e9}"), member(""), member("a &amp; b"), member("<![CDATA[x]]>")].concat();
    let mut visitor = Borrowed(vec![]);
    let body = answer(&format!("<array><data><value><struct>{row}</struct></value></data></array>"));
    assert_eq!(decode_rows(body.as_bytes(), &Limits::default(), &mut visitor), Ok(Ok(())));
    assert_eq!(visitor.0, [true, true, false, true]);
}

#[test]
fn rows_other_than_structs_are_refused() {
    for content in [
        "<int>1</int>",
        "<boolean>0</boolean>",
        "",
        "<struct></struct>",
        "<array><data><value><int>1</int></value></data></array>",
        "<array><data><value>x</value></data></array>",
        "<array><data><value/></data></array>",
        // A member in the form of the fast path, but after the end of its struct.
        "<array><data><value><struct/>\n<member>\n<name>id</name>\n<value><int>1</int></value>\n</member></value></data></array>",
        "<array><data><value><struct></struct></value><value><array><data/></array></value></data></array>",
    ] {
        assert!(matches!(rows(answer(content)).0, Err(Error::Malformed { .. })), "{content}");
    }
    // The decoder also checks skipped values.
    let skipped = "<array><data><value><struct><member><name>skipped</name><value><int>x</int></value></member></struct>\
                   </value></data></array>";
    assert!(matches!(rows(answer(skipped)).0, Err(Error::Malformed { .. })));
}

#[test]
fn error_of_the_visitor_ends_the_decoding() {
    struct Full(usize);
    impl RowVisitor for Full {
        fn column(&mut self, _: &str) -> Option<usize> {
            Some(0)
        }
        fn value(&mut self, _: usize, _: Scalar<'_>) -> Result<()> {
            Ok(())
        }
        fn end_row(&mut self) -> Result<()> {
            self.0 += 1;
            Err(Error::Cancelled)
        }
    }
    let mut visitor = Full(0);
    // The visitor may be a trait object.
    let dynamic: &mut dyn RowVisitor = &mut visitor;
    assert_eq!(decode_rows(answer(TWO_ROWS).as_bytes(), &Limits::default(), dynamic), Err(Error::Cancelled));
    assert_eq!(visitor.0, 1);
}

#[test]
fn ids_other_than_integers_are_refused() {
    assert_eq!(ids("<array><data></data></array>"), Ok(Ok(vec![])));
    let two = "<array><data>\n<value><int>1</int></value>\n<value><i8>5000000000</i8></value>\n</data></array>";
    assert_eq!(ids(two), Ok(Ok(vec![1, 5_000_000_000])));
    for wrong in ["<boolean>1</boolean>", "<string>1</string>", "1", "<double>1.0</double>", "<array><data/></array>"] {
        let content = format!("<array><data><value>{wrong}</value></data></array>");
        assert!(matches!(ids(&content), Err(Error::Malformed { .. })), "{wrong}");
    }
    assert!(matches!(ids("<int>1</int>"), Err(Error::Malformed { .. })));
}

// Damage and limits

#[test]
fn answer_truncated_at_any_byte_is_refused() {
    let bodies = [
        answer(TWO_ROWS),
        answer("<array><data><value><int>1</int></value><value><int>23</int></value></data></array>"),
        answer("<string>&amp;&#13;<![CDATA[x]]><!-- y -->\u{1F600}</string>"),
        fault(
            "<member><name>faultCode</name><value><int>4</int></value></member>\
             <member><name>faultString</name><value><string>No</string></value></member>",
        ),
    ];
    for body in bodies.iter().map(String::as_bytes) {
        assert!(read(body).is_ok());
        for length in 0..body.len() {
            let cut = &body[..length];
            assert!(matches!(read(cut), Err(Error::Malformed { .. })), "{length}");
            assert!(matches!(rows(cut).0, Err(Error::Malformed { .. })), "{length}");
            let ids = decode_ids(cut, &Limits::default());
            assert!(matches!(ids, Err(Error::Malformed { .. })), "{length}");
        }
    }
}

#[test]
fn error_names_the_length_of_a_truncated_answer() {
    let body = answer("<string>a &amp; b</string>");
    for end in ["<str", "<string>a", "<string>a &", "<string>a &am", "<string>a &amp; b</string", "</string>"] {
        let length = body.find(end).unwrap() + end.len();
        assert_eq!(cause(&body.as_bytes()[..length]), format!("it ends too early, after {length} bytes"), "{end}");
    }
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| {
        let open = "<array><data><value>".repeat(depth);
        let close = "</value></data></array>".repeat(depth);
        answer(&format!("{open}{close}"))
    };
    assert!(read(nested(64)).is_ok());
    assert_eq!(cause(nested(65)), "it is nested deeper than 64");
    assert_eq!(cause(nested(100_000)), "it is nested deeper than 64");
    let structs = "<struct><member><name>a</name><value>".repeat(100_000);
    assert_eq!(cause(answer(&structs)), "it is nested deeper than 64");
    assert_eq!(cause("<value>".repeat(100_000)), "the document does not begin with <methodResponse>");

    let limits = |max_depth| Limits { max_depth, ..Limits::default() };
    assert!(decode(nested(1).as_bytes(), &limits(0)).is_err());
    // Limits above 128 count as 128, which protects the stack.
    assert!(decode(nested(128).as_bytes(), &limits(usize::MAX)).is_ok());
    assert!(decode(nested(129).as_bytes(), &limits(usize::MAX)).is_err());
    // decode_rows counts the list and the row, like decode.
    let row = "<array><data><value><struct><member><name>a</name><value><array><data/></array></value></member></struct>\
               </value></data></array>";
    for (depth, fits) in [(2, false), (3, true)] {
        assert_eq!(decode(answer(row).as_bytes(), &limits(depth)).is_ok(), fits);
        assert_eq!(decode_rows(answer(row).as_bytes(), &limits(depth), &mut Log::default()).is_ok(), fits);
    }
}

#[test]
fn size_is_limited() {
    let body = answer("<int>1</int>");
    let limits = |max_bytes| Limits { max_bytes, ..Limits::default() };
    assert!(decode(body.as_bytes(), &limits(body.len())).is_ok());
    match decode(body.as_bytes(), &limits(body.len() - 1)) {
        Err(Error::Limit { limit, .. }) => assert_eq!(limit, "1 MB for one answer"),
        other => panic!("{other:?}"),
    }
    // The size is checked before the content.
    match decode(&vec![0; (1 << 20) + 1], &limits(1 << 20)) {
        Err(Error::Limit { limit, .. }) => assert_eq!(limit, "1 MB for one answer"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_contain_the_position() {
    let body = answer("<int>x</int>");
    match read(&body) {
        Err(Error::Malformed { cause }) => {
            let position = body.find("</int>").unwrap() + "</int>".len();
            assert_eq!(cause, format!("an integer is invalid or exceeds 64 bits (byte {position})"));
        }
        other => panic!("{other:?}"),
    }
}

/// Pieces of answers and of damage. All text in them is SECRET.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "<value>",
        "</value>",
        "<string>",
        "</string>",
        "<int>",
        "</int>",
        "<array>",
        "</array>",
        "<data>",
        "</data>",
        "<struct>",
        "</struct>",
        "<member>",
        "</member>",
        "<name>",
        "</name>",
        "<nil/>",
        "<value/>",
        "<SECRET>",
        "</SECRET>",
        "<SECRET/>",
        "<!--SECRET-->",
        "<![CDATA[SECRET]]>",
        "<?SECRET?>",
        "<!DOCTYPE SECRET>",
        "&SECRET;",
        "&amp;",
        "&#0;",
        "&",
        "<",
        ">",
        "SECRET",
        "1",
        " ",
        "\"",
        "'",
        "<base64>",
        "</base64>",
        "<double>",
        "</double>",
        "<boolean>",
        "</boolean>",
        "</param>",
        "</params>",
        "</methodResponse>",
        "<?xml version='1.0' encoding='SECRET'?>",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// The three decoders do not panic, agree, and put no text of the body into errors.
    #[test]
    fn damaged_bodies_are_refused_without_quoting_them(
        pieces in prop::collection::vec(piece(), 0..30), whole in any::<bool>(), at in any::<prop::sample::Index>(),
        byte in any::<u8>(), change in any::<bool>(),
    ) {
        let content = pieces.concat();
        let mut body = if whole { answer(&content) } else { content }.into_bytes();
        if change && !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let tree = read(&body);
        let (by_rows, _) = rows(&body);
        let by_ids = decode_ids(&body, &Limits::default());
        for error in [tree.as_ref().err(), by_rows.as_ref().err(), by_ids.as_ref().err()].into_iter().flatten() {
            let shown = format!("{error} {error:?} {:?} {:?}", error.detail(), error.hint());
            prop_assert!(!shown.contains("SECRET"), "{}", shown);
        }
        if tree.is_err() {
            prop_assert!(by_rows.is_err() && by_ids.is_err());
        }
    }

    /// An answer with one wrong byte is refused, or both decoders find the same rows.
    #[test]
    fn decoders_agree_about_one_wrong_byte(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = answer(TWO_ROWS).into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        let (by_rows, log) = rows(&body);
        if let Ok(Ok(())) = by_rows {
            let tree = read(&body).unwrap().unwrap();
            let ends = log.iter().filter(|entry| *entry == "end").count();
            prop_assert_eq!(tree.as_array().unwrap().len(), ends);
        }
    }
}

/// A member in Python's form, with any type and text.
fn member() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["id", "a", "skipped", "a&amp;b", "é", ""]);
    let text =
        prop::sample::select(vec!["", "1", "0", " 7 ", "-1.5", "nan", "x &lt; y", "Kapé", "]]>", "\r\n", "2026-01-05"]);
    let kind = prop::sample::select(vec!["string", "int", "double", "boolean", "i4", "dateTime.iso8601", "stringy"]);
    let scalar = (kind, text).prop_map(|(kind, text)| format!("<value><{kind}>{text}</{kind}></value>"));
    let value = prop_oneof![
        8 => scalar,
        1 => Just("<value><nil/></value>".to_owned()),
        1 => Just("<value><array><data>\n<value><int>1</int></value>\n</data></array></value>".to_owned()),
        1 => Just("<value><struct>\n<member>\n<name>a</name>\n<value><int>1</int></value>\n</member>\n</struct></value>".to_owned()),
        1 => Just("<value><struct/>\n</value>".to_owned()),
        1 => Just("<value>text</value>".to_owned()),
    ];
    let space = prop::sample::select(vec!["\n", "\n", "\n", "\n", "", " ", "<!-- -->\n"]);
    (name, value, space)
        .prop_map(|(name, value, space)| format!("<member>\n<name>{name}</name>\n{value}\n</member>{space}"))
}

/// The log of a visitor that receives the rows of this tree.
fn log_of(tree: &Value) -> Vec<String> {
    let mut log = Log::default();
    for row in tree.as_array().unwrap() {
        let Value::Struct(members) = row else {
            panic!("{row:?}");
        };
        for (name, value) in members {
            if let Some(column) = log.column(name) {
                log.value(column, value.clone().into()).unwrap();
            }
        }
        log.end_row().unwrap();
    }
    log.0
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 5000, ..ProptestConfig::default() })]

    /// The fast path and the XML parser read the same values, also from damaged answers.
    #[test]
    fn fast_path_agrees_with_the_parser(
        table in prop::collection::vec(prop::collection::vec(member(), 0..4), 0..3),
        damage in prop::option::of((any::<prop::sample::Index>(), prop_oneof![any::<u8>().prop_map(|byte| vec![byte]),
            piece().prop_map(|piece| piece.as_bytes().to_vec())])),
    ) {
        let table: Vec<String> = table.iter().map(|row| format!("<value><struct>\n{}</struct></value>\n", row.concat())).collect();
        let mut body = answer(&format!("<array><data>\n{}</data></array>", table.concat())).into_bytes();
        if let Some((at, bytes)) = damage {
            let at = at.index(body.len());
            body.splice(at..at + 1, bytes);
        }
        let (by_rows, log) = rows(&body);
        match (read(&body), by_rows) {
            (Ok(Ok(tree)), Ok(Ok(()))) => prop_assert_eq!(log_of(&tree), log),
            (Err(_), Err(_)) => {}
            // The answer is well-formed and does not contain rows.
            (Ok(Ok(_)), Err(_)) => {}
            (one, other) => prop_assert!(false, "{:?} {:?}", one, other),
        }
    }
}
