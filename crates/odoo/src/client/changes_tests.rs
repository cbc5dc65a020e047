//! Tests of [`Client::changes`].
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{ChangeAnswer, ChangeQuery, packed, unpacked};
use crate::error::{Error, Result};
use crate::retry::Policy;
use crate::secret::Secret;
use crate::xmlrpc::encode_call;
use crate::{Account, Addon, Client, Content, Failure, Reply, Request, Scope, ServerInfo, Transport};
use std::collections::VecDeque;
use std::time::Duration;

/// Answers with these texts, and keeps the requests.
struct Script {
    answers: VecDeque<String>,
    sent: Vec<String>,
}

impl Transport for Script {
    fn send(&mut self, request: Request, _: usize) -> std::result::Result<Reply, Failure> {
        let Content::Xml { body, dbname } = request.content else { panic!("not XML-RPC") };
        assert_eq!(dbname, "odoo");
        self.sent.push(body);
        Ok(Reply { body: self.answers.pop_front().unwrap().into_bytes(), ..Reply::default() })
    }

    fn pause(&mut self, _: Duration) -> Result<()> {
        Ok(())
    }
}

fn text(answer: &str) -> String {
    let call = encode_call("m", &[("value", &packed(answer).unwrap().into())]).unwrap();
    let (_, params) = call.split_once("</methodName>").unwrap();
    format!("<methodResponse>{}", params.replace("</methodCall>", "</methodResponse>"))
}

fn client(answers: &[String]) -> Client<Script> {
    let script = Script { answers: answers.to_vec().into(), sent: Vec::new() };
    let account = Account { dbname: "odoo".into(), login: "admin".into(), password: Secret::new("secret".into()) };
    let known = ServerInfo { uid: Some(2), addon: Addon::Present, ..ServerInfo::default() };
    Client::new(script, account, Policy::NONE, known, Default::default())
}

fn ask(client: &mut Client<Script>) -> Result<Option<Vec<ChangeAnswer>>> {
    let scope = Scope { model: "m".into(), domain: Vec::new(), lang: Some("fr_FR".into()), company_ids: vec![3] };
    let fields = ["name".to_owned()];
    client.changes(&[ChangeQuery { scope: &scope, fields: &fields, token: Some("t") }], 50)
}

#[test]
fn every_state_is_understood() {
    let states = [
        (r#"{"state":"same","token":"a"}"#, ChangeAnswer::Same { token: "a".into() }),
        (r#"{"state":"many","token":"a"}"#, ChangeAnswer::Many { token: "a".into() }),
        (r#"{"state":"unknown","token":"a"}"#, ChangeAnswer::Unknown { token: "a".into() }),
        (r#"{"state":"later"}"#, ChangeAnswer::Later),
        (r#"{"state":"unsupported","reason":"r"}"#, ChangeAnswer::Unsupported { reason: "r".into() }),
        (r#"{"state":"error","message":"e"}"#, ChangeAnswer::Error { message: "e".into() }),
        (
            r#"{"state":"changed","token":"a","ids":[1,7],"page":null,"digest":[2,"8","50"]}"#,
            ChangeAnswer::Changed {
                token: "a".into(),
                ids: vec![1, 7],
                page: None,
                digest: (2, "8".into(), "50".into()),
            },
        ),
    ];
    for (sent, expected) in states {
        let mut client = client(&[text(&format!(r#"{{"uuid":"u","mirrors":[{sent}]}}"#))]);
        assert_eq!(ask(&mut client), Ok(Some(vec![expected])));
        assert_eq!(client.database().uuid.as_deref(), Some("u"));
    }
}

#[test]
fn request_has_everything_that_the_mirror_reads_with() {
    let mut client = client(&[text(r#"{"uuid":"u","mirrors":[{"state":"later"}]}"#)]);
    ask(&mut client).unwrap();
    let sent = &client.transport.sent[0];
    let mirrors = sent.split("<string>").find_map(|part| unpacked(part.split('<').next()?).ok()).unwrap();
    let context = r#"{"active_test":false,"lang":"fr_FR","allowed_company_ids":[3]}"#;
    assert_eq!(String::from_utf8(mirrors).unwrap(), format!(r#"[["m",[["id",">",0]],["name"],{context},"t"]]"#));
}

#[test]
fn addon_without_the_method_is_asked_once_and_stays_in_use() {
    let fault = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>\
                 <member><name>faultString</name><value><string>AttributeError: The method 'ipai.sync.changes' does not exist\
                 </string></value></member></struct></value></fault></methodResponse>";
    let mut client = client(&[fault.to_owned()]);
    assert_eq!(ask(&mut client), Ok(None));
    assert_eq!(ask(&mut client), Ok(None));
    assert!(client.has_addon());
}

#[test]
fn malformed_answers_give_up_the_addon() {
    for answer in [
        "[]",
        r#"{"uuid":"u","mirrors":[]}"#,
        r#"{"uuid":"u","mirrors":[{"state":"later"},{"state":"later"}]}"#,
        r#"{"uuid":"u","mirrors":[{"state":"other"}]}"#,
        r#"{"uuid":"u","mirrors":[{"state":"same"}]}"#,
    ] {
        let mut client = client(&[text(answer)]);
        assert_eq!(ask(&mut client), Ok(None), "{answer}");
        assert!(matches!(client.addon_failure(), Some(Error::Malformed { .. })), "{answer}");
    }
}
