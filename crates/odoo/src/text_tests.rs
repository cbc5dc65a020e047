//! Tests of clean texts.

use super::*;
use crate::error::SqlState;
use proptest::prelude::*;

/// Each of its characters has spellings of its own.
const PASSWORD: &str = "p'\"\\ü €/&<\n😀";

#[test]
fn hidden_characters_are_replaced_visibly() {
    for (text, shown) in [
        ("plain äöü 漢字 😀\tx", "plain äöü 漢字 😀\tx"),
        ("", ""),
        ("\u{1b}[31mred\u{7}", "�[31mred�"),
        ("over\rwritten", "over�written"),
        ("windows\r\nlines", "windows\nlines"),
        ("\u{0}\u{8}\u{c}\u{7f}\u{85}\u{9b}", "������"),
        ("a\u{202e}b\u{2066}c\u{2069}d\u{200e}e\u{200f}f\u{61c}", "a�b�c�d�e�f�"),
        ("a\u{200b}b\u{200d}c\u{feff}d\u{2028}e\u{2029}f\u{ad}", "a�b�c�d�e�f�"),
        ("\u{2060}\u{180e}\u{fff9}\u{e0041}", "����"),
    ] {
        let cleaner = Cleaner::default();
        assert_eq!(cleaner.text(text), shown, "{text:?}");
        assert_eq!(cleaner.end(text), shown, "{text:?}");
        assert_eq!(cleaner.line(text), shown.replace('\n', "�"), "{text:?}");
    }
}

#[test]
fn long_texts_are_cut_with_a_mark() {
    let cleaner = Cleaner::new("hunter2");
    let kept = "ü".repeat(2_000);
    assert_eq!((cleaner.text(&kept), cleaner.end(&kept)), (kept.clone(), kept.clone()));
    for length in [2_005, 100_000] {
        let text = "ü".repeat(length);
        let (beginning, end) = (format!("{kept} ..."), format!("... {kept}"));
        assert_eq!((cleaner.text(&text), cleaner.end(&text)), (beginning.clone(), end.clone()));
        assert_eq!((cleaner.text(&beginning), cleaner.end(&end)), (beginning, end));
    }
    // A text that only redaction shortens shows no half of a password.
    let text = "hunter2".repeat(10_000);
    for shown in [cleaner.text(&text), cleaner.end(&text)] {
        assert_eq!(shown.chars().filter(|shown| *shown != '*').collect::<String>().trim(), "...");
    }
}

#[test]
fn password_is_redacted_in_every_spelling() {
    let cleaner = Cleaner::new(PASSWORD);
    for spelled in [
        PASSWORD,
        // Python: repr of a text and of bytes, ascii().
        r#"p\'"\\ü €/&<\n😀"#,
        r#"p'\"\\\xc3\xbc \xe2\x82\xac/&<\n\xf0\x9f\x98\x80"#,
        r#"p\'"\\\xfc \u20ac/&<\n\U0001f600"#,
        // JSON, with and without other characters than ASCII.
        r#"p'\"\\ü €\/&<\n😀"#,
        r#"p'\"\\\u00fc \u20AC/&<\n\ud83d\ude00"#,
        // XML and HTML.
        "p&apos;&quot;\\ü €/&amp;&lt;&#10;😀",
        "p&#39;&#34;&#92;&#xfc; &#x20AC;/&amp;&lt;&#xa;&#128512;",
        // A form and a path.
        "p%27%22%5C%C3%BC+%E2%82%AC%2F%26%3C%0A%F0%9F%98%80",
        "p'%22%5c%c3%bc%20%e2%82%ac/&%3c%0a%f0%9f%98%80",
        "p'%22/%c3%bc%20%e2%82%ac/&%3c%0a%f0%9f%98%80",
        "p'\"\\ü €/&< 😀",
        // SQL.
        "p''\"\\ü €/&<\n😀",
    ] {
        assert_eq!(cleaner.text(&format!("a {spelled}b{spelled}")), "a ***b***", "{spelled}");
    }
    for other in ["p'\"\\ü €/&<", "p", "", "P'\"\\ü €/&<\n😀"] {
        assert_eq!(cleaner.text(other), other);
    }
    assert_eq!(Cleaner::new("").text("a b"), "a b");
    assert_eq!(Cleaner::new(" hunter2\n").text("x hunter2"), "x ***");
    assert_eq!(Cleaner::new("a b").text("x a\u{7}b a b"), "x a�b ***");
    assert_eq!(Cleaner::new(&"\\".repeat(200)).text(&"\\".repeat(399)), "***");
}

#[test]
fn errors_from_outside_are_clean() {
    let evil = "hunter2\u{1b}\n\u{202e}".repeat(1_000);
    let cleaner = Cleaner::new("hunter2");
    for error in [
        Error::Connection { cause: evil.clone() },
        Error::OdooAccess(evil.clone()),
        Error::UnknownField { model: "m".into(), field: evil.clone(), near: Vec::new() },
        Error::OdooFault { message: evil.clone(), traceback: evil.clone() },
        Error::user(SqlState::ConnectionRefused, evil.clone()).with_detail(evil.clone()).with_hint(evil.clone()),
    ] {
        let error = cleaner.error(error);
        for text in [error.to_string(), error.detail().unwrap_or_default(), error.hint().unwrap_or_default()] {
            assert!(text.chars().count() < 2_100 && !text.contains("hunter2"), "{text}");
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        }
    }
    let own = Error::Timeout(60);
    assert_eq!(cleaner.error(own.clone()), own);
}

#[test]
fn literals_are_quoted() {
    for (text, literal) in [
        ("m", "'m'"),
        ("it's", "'it''s'"),
        ("a\\b'", "E'a\\\\b'''"),
        ("'); drop table x; --", "'''); drop table x; --'"),
    ] {
        assert_eq!(quote_literal(text), literal);
    }
}

#[test]
fn hints_quote_the_name_of_the_mirror() {
    let mirror = "m', 'full'); drop table x; --";
    for error in [
        Error::RefusedDeletion { mirror: mirror.into(), rows: 1, total: 1, allowed: 0 },
        Error::OtherDatabase { mirror: mirror.into() },
    ] {
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("call ipai.run_sync('m'', ''full''); drop table x; --', "), "{hint}");
    }
}

proptest! {
    #[test]
    fn clean_texts_are_bounded_and_visible(text in any::<String>(), times in 1..200_usize, password in any::<String>()) {
        let text = text.repeat(times);
        let cleaner = Cleaner::new(&password);
        for shown in [cleaner.text(&text), cleaner.end(&text), cleaner.line(&text)] {
            prop_assert!(shown.chars().count() <= LONGEST + MARK);
            prop_assert!(!shown.contains(is_hidden));
        }
    }
}
