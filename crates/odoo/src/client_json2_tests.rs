//! Tests of the choice between JSON-2 and XML-RPC in [`Client`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::retry::Policy;
use super::{
    Account, Call, Client, Content, Failure, Json2, Reply, Request, Resend, Scope, ServerInfo, Transport, Wire,
};
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::value::{RowVisitor, Scalar, Value};
use crate::xmlrpc::encode_call;

const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

type Answers = Vec<std::result::Result<Reply, Failure>>;
type Log = Rc<RefCell<Vec<String>>>;

struct Script {
    answers: VecDeque<std::result::Result<Reply, Failure>>,
    log: Log,
}

impl Transport for Script {
    fn send(&mut self, request: Request, _max_bytes: usize) -> std::result::Result<Reply, Failure> {
        let line = match request.content {
            Content::Nothing => format!("GET {}", request.path),
            Content::Json { body, key, dbname } => {
                assert_eq!((key.reveal(), dbname.as_str()), (KEY, "odoo"));
                format!("{} {body}", request.path)
            }
            Content::Xml { body, .. } => {
                let tail = body.split_once("<methodName>").unwrap().1;
                format!("{} {}", request.path, tail.split_once('<').unwrap().0)
            }
        };
        self.log.borrow_mut().push(line);
        self.answers.pop_front().expect("one request too many")
    }

    fn pause(&mut self, _pause: Duration) -> Result<()> {
        Ok(())
    }
}

fn client(known: ServerInfo, secret: &str, answers: Answers) -> (Client<Script>, Log) {
    let log = Log::default();
    let script = Script { answers: answers.into(), log: Rc::clone(&log) };
    let account =
        Account { dbname: "odoo".into(), login: "api@example.com".into(), password: Secret::new(secret.into()) };
    (Client::new(script, account, Policy::SYNC, known, Default::default()), log)
}

fn knows(uid: Option<i64>, json2: Json2) -> ServerInfo {
    ServerInfo { uid, json2, ..ServerInfo::default() }
}

fn json(status: u16, body: &str) -> std::result::Result<Reply, Failure> {
    Ok(Reply { status, body: body.into(), ..Reply::default() })
}

/// A result of XML-RPC.
fn xml(value: impl Into<Value>) -> std::result::Result<Reply, Failure> {
    let call = encode_call("m", &[("value", &value.into())]).unwrap();
    let (_, params) = call.split_once("</methodName>").unwrap();
    json(200, &format!("<methodResponse>{}", params.replace("</methodCall>", "</methodResponse>")))
}

fn error(status: u16, exception: &str, message: &str) -> std::result::Result<Reply, Failure> {
    json(status, &format!("{{\"name\": \"{exception}\", \"message\": \"{message}\", \"debug\": \"\"}}"))
}

fn bad_key() -> std::result::Result<Reply, Failure> {
    error(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")
}

/// An answer of a server without JSON-2.
fn not_found() -> std::result::Result<Reply, Failure> {
    Err(Failure::never(Error::HttpStatus(404)))
}

fn logged_in() -> Answers {
    vec![json(200, "{\"lang\": \"en_US\", \"uid\": 7}"), json(200, "[{\"id\": 7, \"login\": \"api@example.com\"}]")]
}

fn scope() -> Scope {
    Scope { model: "res.partner".into(), domain: Vec::new(), lang: None, company_ids: vec![1] }
}

const CONTEXT_GET: &str = "/json/2/res.users/context_get {}";
const OWNER: &str = "/json/2/res.users/read {\"ids\":[7],\"fields\":[\"login\"]}";
const XML: &str = "/xmlrpc/2/object execute_kw";
const XML_LOGIN: &str = "/xmlrpc/2/common authenticate";
const PING: &str = "/json/2/m/ping {}";

fn ping(client: &mut Client<Script>) -> Result<Value> {
    client.call(&Call::for_fact("m", "ping"))
}

#[test]
fn api_key_uses_json2_and_password_xmlrpc() {
    let (mut found, log) = client(ServerInfo::default(), KEY, [logged_in(), vec![json(200, "\"a\"")]].concat());
    assert_eq!(ping(&mut found), Ok("a".into()));
    assert_eq!(*log.borrow(), [CONTEXT_GET, OWNER, PING]);
    assert_eq!((found.server_info().uid, found.server_info().json2), (Some(7), Json2::Present));
    for secret in ["admin", &KEY[1..], &KEY.to_uppercase(), &format!("{KEY}0")] {
        let (mut found, log) = client(knows(Some(7), Json2::Unknown), secret, vec![xml("a")]);
        assert_eq!((ping(&mut found), found.wire()), (Ok("a".into()), Wire::XmlRpc));
        assert_eq!(*log.borrow(), [XML]);
    }
}

#[test]
fn options_decide_over_the_form_of_the_secret() {
    let (mut found, log) = client(knows(Some(7), Json2::Unwanted), KEY, vec![xml("a")]);
    assert_eq!((ping(&mut found), log.borrow().as_slice()), (Ok("a".into()), [XML.to_owned()].as_slice()));
    let (mut found, _) = client(knows(Some(7), Json2::Required), KEY, vec![not_found()]);
    assert_eq!(ping(&mut found), Err(Error::HttpStatus(404)));
    let (mut found, _) = client(knows(Some(7), Json2::Required), KEY, vec![bad_key()]);
    let refused = ping(&mut found).unwrap_err();
    assert_eq!((refused.sqlstate(), refused.detail().unwrap().contains("expired")), ("28P01", true));
}

#[test]
fn server_without_json2_is_remembered() {
    let record = |name: &str, value: Value| Value::Struct(vec![(name.to_owned(), value)]);
    let owner = Value::Array(vec![record("login", "api@example.com".into())]);
    let answers = vec![not_found(), xml(7), xml(record("uid", 7.into())), xml(owner), xml("a"), xml("b")];
    let (mut found, log) = client(ServerInfo::default(), KEY, answers);
    assert_eq!((ping(&mut found), ping(&mut found)), (Ok("a".into()), Ok("b".into())));
    assert_eq!(found.server_info().json2, Json2::Missing);
    assert_eq!(*log.borrow(), [CONTEXT_GET, XML_LOGIN, XML, XML, XML, XML]);
    for failure in [
        Failure::never(Error::HttpStatus(405)),
        Failure::never(Error::Malformed { cause: "it is an HTML page".into() }),
    ] {
        let (mut found, log) = client(knows(Some(7), Json2::Unknown), KEY, vec![Err(failure), xml("a")]);
        assert_eq!((ping(&mut found), found.server_info().json2), (Ok("a".into()), Json2::Missing));
        assert_eq!(*log.borrow(), [PING, XML]);
    }
}

#[test]
fn server_that_had_json2_loses_it_only_without_doubt() {
    let failure = || Failure::never(Error::Malformed { cause: "it is an HTML page".into() });
    let (mut found, log) = client(knows(Some(7), Json2::Unknown), KEY, vec![json(200, "1"), Err(failure())]);
    assert_eq!(ping(&mut found), Ok(1.into()));
    assert!(matches!(ping(&mut found), Err(Error::Malformed { .. })));
    assert_eq!((log.borrow().len(), found.server_info().json2), (2, Json2::Present));
}

#[test]
fn secret_that_is_no_key_is_a_password() {
    let (mut found, log) = client(knows(Some(7), Json2::Unknown), KEY, vec![bad_key(), xml(9), xml("a")]);
    assert_eq!(ping(&mut found), Ok("a".into()));
    assert_eq!(*log.borrow(), [PING, XML_LOGIN, XML]);
    assert_eq!((found.server_info().uid, found.server_info().json2), (Some(9), Json2::Missing));
}

#[test]
fn expired_key_is_refused_and_nothing_is_remembered() {
    let (mut found, log) = client(knows(Some(7), Json2::Unknown), KEY, vec![bad_key(), xml(false)]);
    let refused = ping(&mut found).unwrap_err();
    assert_eq!(refused.sqlstate(), "28P01");
    assert!(refused.detail().unwrap().contains("may have expired"), "{refused:?}");
    assert!(!format!("{refused:?}").contains(KEY));
    assert_eq!((log.borrow().len(), found.server_info().json2), (2, Json2::Unknown));
}

#[test]
fn key_of_another_user_is_refused() {
    let answers = vec![json(200, "{\"uid\": 7}"), json(200, "[{\"id\": 7, \"login\": \"other\"}]")];
    let (mut found, _) = client(ServerInfo::default(), KEY, answers);
    let refused = ping(&mut found).unwrap_err();
    assert_eq!((refused.sqlstate(), found.server_info().uid), ("28P01", None));
    assert!(refused.detail().unwrap().contains("\"other\""), "{refused:?}");
}

#[test]
fn arguments_have_names() {
    let answers = || (0..6).map(|_| json(200, "[]")).collect();
    let (mut found, log) = client(knows(Some(7), Json2::Required), KEY, answers());
    let fields = ["name".to_owned()];
    found.search(&scope(), [], 5).unwrap();
    found.search_read(&scope(), &fields, [], Some(2), Ignored::default).unwrap();
    found.read(&scope(), &fields, &[3, 4], Ignored::default).unwrap();
    let _ = found.search_count(&scope(), Vec::new());
    let _ = found.may_create("res.partner");
    found.export_ids(&scope(), &[(0, 9)], 5).unwrap_err();
    let context = "\"context\":{\"active_test\":false,\"allowed_company_ids\":[1]}";
    assert_eq!(
        *log.borrow(),
        [
            format!("/json/2/res.partner/search {{\"domain\":[],\"order\":\"id\",\"limit\":5,{context}}}"),
            format!(
                "/json/2/res.partner/search_read {{\"domain\":[],\"fields\":[\"name\"],\"order\":\"id\",\"load\":\"\",{context},\"limit\":2}}"
            ),
            format!("/json/2/res.partner/read {{\"ids\":[3,4],\"fields\":[\"name\"],\"load\":\"\",{context}}}"),
            format!("/json/2/res.partner/search_count {{\"domain\":[],{context}}}"),
            "/json/2/res.partner/has_access {\"ids\":[],\"operation\":\"create\"}".to_owned(),
            format!(
                "/json/2/ipai.sync/export {{\"model\":\"res.partner\",\"domain\":[\"&\",[\"id\",\">\",0],[\"id\",\"<=\",9]],\"fields\":[\"id\"],\"limit\":5,{context}}}"
            ),
        ]
    );
}

#[derive(Default)]
struct Ignored;

impl RowVisitor for Ignored {
    fn column(&mut self, _member: &str) -> Option<usize> {
        None
    }

    fn value(&mut self, _column: usize, _value: Scalar<'_>) -> Result<()> {
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn call_with_unnamed_arguments_uses_xmlrpc_where_json2_cannot_send_them() {
    let ids = || vec![Value::from_iter([1, 2])];
    let more = || vec![Value::from_iter([1]), "x".into()];
    let named = || vec![("vals".to_owned(), Value::from("x"))];
    let known = || knows(Some(7), Json2::Present);
    let context = || json(200, "{\"uid\": 7}");
    let (mut found, log) = client(known(), KEY, vec![context(), json(200, "true"), xml("a"), json(200, "null")]);
    assert_eq!(found.call_once("m", "f", ids(), named()), Ok(Some(true.into())));
    assert_eq!(found.call_once("m", "f", more(), Vec::new()), Ok(Some("a".into())));
    assert_eq!(found.call_once("m", "f", Vec::new(), named()), Ok(Some(Value::Nil)));
    let f = "/json/2/m/f {\"ids\":[1,2],\"vals\":\"x\"}";
    assert_eq!(*log.borrow(), [CONTEXT_GET, f, XML, "/json/2/m/f {\"vals\":\"x\"}"]);

    // Odoo refuses the ids before it calls the method.
    let refusal = || error(422, "werkzeug.exceptions.UnprocessableEntity", "cannot call m.f with ids");
    let (mut found, _) = client(known(), KEY, vec![context(), refusal(), xml("a")]);
    assert_eq!(found.call_once("m", "f", ids(), Vec::new()), Ok(Some("a".into())));
    let required = || knows(Some(7), Json2::Required);
    let (mut found, _) = client(required(), KEY, vec![context(), refusal()]);
    assert!(matches!(found.call_once("m", "f", ids(), Vec::new()), Err(Error::OdooFault { .. })));
    let (mut found, log) = client(required(), KEY, vec![context()]);
    let refused = found.call_once("m", "f", more(), Vec::new()).unwrap_err();
    assert_eq!((refused.sqlstate(), log.borrow().len()), ("22023", 1));
}

#[test]
fn call_that_may_change_data_is_sent_once() {
    let lost = || {
        Err(Failure { error: Error::Connection { cause: "reset".into() }, resend: Resend::IfHarmless { after: None } })
    };
    let unauthorized = || error(401, "werkzeug.exceptions.Unauthorized", "not you");
    for answer in [lost(), not_found(), unauthorized(), json(200, "<html>")] {
        let answers = vec![json(200, "{\"uid\": 7}"), answer];
        let (mut found, log) = client(knows(Some(7), Json2::Unknown), KEY, answers);
        let refused = found.call_once("m", "f", Vec::new(), Vec::new()).unwrap_err();
        assert!(matches!(refused, Error::MayHaveHappened(_) | Error::OdooAccess(_)), "{refused:?}");
        assert_eq!(log.borrow().len(), 2);
    }
}

#[test]
fn passing_errors_are_retried() {
    let busy = || error(500, "psycopg2.pool.PoolError", "The Connection Pool Is Full");
    let overloaded = Err(Failure { error: Error::HttpStatus(503), resend: Resend::IfHarmless { after: None } });
    let answers = vec![busy(), overloaded, json(200, "1")];
    let (mut found, log) = client(knows(Some(7), Json2::Unknown), KEY, answers);
    assert_eq!((ping(&mut found), log.borrow().len()), (Ok(1.into()), 3));
}

#[test]
fn counts_are_asked_at_the_same_time() {
    let busy = error(500, "psycopg2.pool.PoolError", "The Connection Pool Is Full");
    let answers = vec![json(200, "3"), busy, json(200, "4")];
    let (mut found, _) = client(knows(Some(7), Json2::Present), KEY, answers);
    assert_eq!(found.search_counts(&scope(), vec![Vec::new(), Vec::new()]), Ok(vec![3, 4]));
}

#[test]
fn version_needs_no_xmlrpc() {
    let body = "{\"version_info\": [19, 0, 0, \"final\", 0, \"\"], \"version\": \"19.0\"}";
    let (mut found, log) = client(ServerInfo::default(), KEY, vec![json(200, body)]);
    assert_eq!(
        (found.version(), log.borrow().as_slice()),
        (Ok("19.0".into()), ["GET /json/version".to_owned()].as_slice())
    );
    let version = Value::Struct(vec![("server_version".into(), "18.0".into())]);
    let (mut found, log) = client(ServerInfo::default(), KEY, vec![not_found(), xml(version)]);
    assert_eq!((found.version(), log.borrow().len()), (Ok("18.0".into()), 2));
}
