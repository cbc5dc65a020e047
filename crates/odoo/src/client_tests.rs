//! Tests of [`Client`] over a transport that returns prepared answers and records the requests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeZone, Utc};

use super::domain::{after, one_of, page};
use super::retry::Policy;
use super::{
    Account, Addon, Call, Client, Content, Failure, Field, Reply, Request, Resend, Safety, Scope, ServerInfo, Transport,
};
use crate::error::{Error, Result, SqlState};
use crate::secret::Secret;
use crate::value::{RowVisitor, Scalar, Value};
use crate::xmlrpc::encode_call;

const PASSWORD: &str = "s3cret<Pass>";
const COMMON: &str = "/xmlrpc/2/common";
const OBJECT: &str = "/xmlrpc/2/object";

/// A request of the client to the transport.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Send(Request),
    Pause(Duration),
}

type Log = Rc<RefCell<Vec<Asked>>>;

struct Script {
    answers: VecDeque<std::result::Result<Reply, Failure>>,
    log: Log,
    /// The result of every pause.
    pause: Result<()>,
}

impl Transport for Script {
    fn send(&mut self, request: Request, _max_bytes: usize) -> std::result::Result<Reply, Failure> {
        self.log.borrow_mut().push(Asked::Send(request));
        self.answers.pop_front().expect("one request too many")
    }

    fn pause(&mut self, pause: Duration) -> Result<()> {
        self.log.borrow_mut().push(Asked::Pause(pause));
        self.pause.clone()
    }
}

const RETRIES: Policy =
    Policy { retries: 3, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(2) };

type Answers = Vec<std::result::Result<Reply, Failure>>;

fn client(uid: Option<i64>, answers: Answers) -> (Client<Script>, Log) {
    let log = Log::default();
    let script = Script { answers: answers.into(), log: Rc::clone(&log), pause: Ok(()) };
    let known = ServerInfo { uid, ..ServerInfo::default() };
    (Client::new(script, account(), RETRIES, known, Default::default()), log)
}

fn knows(uid: i64) -> ServerInfo {
    ServerInfo { uid: Some(uid), ..ServerInfo::default() }
}

fn account() -> Account {
    Account { dbname: "odoo_core".into(), login: "api@example.com".into(), password: Secret::new(PASSWORD.into()) }
}

fn scope() -> Scope {
    Scope { model: "res.partner".into(), domain: Vec::new(), lang: None, company_ids: Vec::new() }
}

fn reply(body: impl Into<Vec<u8>>) -> std::result::Result<Reply, Failure> {
    Ok(Reply { body: body.into(), ..Reply::default() })
}

/// An answer with this result.
fn result(value: impl Into<Value>) -> std::result::Result<Reply, Failure> {
    let call = encode_call("m", &[("value", &value.into())]).unwrap();
    let (_, params) = call.split_once("</methodName>").unwrap();
    reply(format!("<methodResponse>{}", params.replace("</methodCall>", "</methodResponse>")))
}

fn fault(code: i64, text: &str) -> std::result::Result<Reply, Failure> {
    let Ok(Reply { body, .. }) = result(record(&[("faultCode", code.into()), ("faultString", text.into())])) else {
        panic!("no reply")
    };
    let body = String::from_utf8(body).unwrap();
    let body = body.replace("<params><param>", "<fault>").replace("</param></params>", "</fault>");
    reply(body)
}

fn record(members: &[(&str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

fn term(field: &str, operator: &str, value: impl Into<Value>) -> Value {
    list([field.into(), operator.into(), value.into()])
}

fn recorded(name: &str) -> std::result::Result<Reply, Failure> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    reply(std::fs::read(corpus.join(name)).unwrap())
}

fn failure(resend: Resend) -> std::result::Result<Reply, Failure> {
    Err(Failure { error: lost("connection reset"), resend })
}

fn lost(cause: &str) -> Error {
    Error::Connection { cause: cause.into() }
}

fn refused() -> Error {
    Error::user(SqlState::InvalidPassword, "Odoo authentication failed")
        .with_detail("User \"api@example.com\" was refused.")
        .with_hint("Check the user and password (or API key) of the user mapping, and that the user is active in Odoo.")
}

/// A request of XML-RPC.
fn xml(path: &str, body: String) -> Asked {
    Asked::Send(Request { path: path.to_owned(), content: Content::Xml { body, dbname: "odoo_core".to_owned() } })
}

/// The request that logs in.
fn login() -> Asked {
    let params = [
        ("1", &"odoo_core".into()),
        ("2", &"api@example.com".into()),
        ("3", &PASSWORD.into()),
        ("4", &Value::Struct(Vec::new())),
    ];
    xml(COMMON, encode_call("authenticate", &params).unwrap())
}

/// The request that calls a method.
fn execute(uid: i64, model: &str, method: &str, args: Value, kwargs: Value) -> Asked {
    let params = [
        ("1", &"odoo_core".into()),
        ("2", &uid.into()),
        ("3", &PASSWORD.into()),
        ("4", &model.into()),
        ("5", &method.into()),
        ("6", &args),
        ("7", &kwargs),
    ];
    xml(OBJECT, encode_call("execute_kw", &params).unwrap())
}

/// Calls a method without arguments.
fn ping(client: &mut Client<Script>, safety: Safety) -> Result<Value> {
    client.call(&match safety {
        Safety::Harmless => Call::for_fact("m", "ping"),
        Safety::Divisible => Call::for_page("m", "ping"),
        Safety::Once => Call::once("m", "ping"),
    })
}

fn pinged(uid: i64) -> Asked {
    execute(uid, "m", "ping", list([]), record(&[]))
}

fn pauses(log: &Log) -> Vec<Duration> {
    let pause = |asked: &Asked| match asked {
        Asked::Pause(pause) => Some(*pause),
        Asked::Send(_) => None,
    };
    log.borrow().iter().filter_map(pause).collect()
}

fn posts(log: &Log) -> usize {
    let asked = log.borrow();
    asked.iter().filter(|asked| matches!(asked, Asked::Send(_))).count()
}

#[test]
fn only_the_first_call_logs_in() {
    let (mut client, log) = client(None, vec![result(7), result("a"), result("b")]);
    assert_eq!(client.server_info().uid, None);
    assert_eq!(ping(&mut client, Safety::Harmless), Ok("a".into()));
    assert_eq!(ping(&mut client, Safety::Once), Ok("b".into()));
    assert_eq!(client.server_info().uid, Some(7));
    assert_eq!(*log.borrow(), [login(), pinged(7), pinged(7)]);
}

#[test]
fn remembered_uid_needs_no_login() {
    let (mut client, log) = client(Some(5), vec![result("a")]);
    assert_eq!(ping(&mut client, Safety::Harmless), Ok("a".into()));
    assert_eq!(*log.borrow(), [pinged(5)]);
}

#[test]
fn failed_logins_name_their_cause() {
    let not_a_uid = || Error::Malformed { cause: "authenticate did not answer with a user id".into() };
    let unknown_database = || {
        Error::user(SqlState::UndefinedDatabase, "Odoo has no database \"odoo_core\"").with_hint(
            "Set the dbname option of the server to the name of Odoo's database, as its login page or database \
             manager shows it.",
        )
    };
    for (answer, error) in [
        (result(false), refused()),
        (recorded("odoo18/authenticate_wrong_password.xml"), refused()),
        (recorded("odoo19/authenticate_unknown_user.xml"), refused()),
        (recorded("odoo18/authenticate_wrong_db.xml"), unknown_database()),
        (recorded("odoo19/authenticate_wrong_db.xml"), unknown_database()),
        (fault(3, "Access Denied"), refused()),
        (result(true), not_a_uid()),
        (result(0), not_a_uid()),
        (result(-1), not_a_uid()),
        // Odoo's ids have 32 bits.
        (result(i64::from(i32::MAX) + 1), not_a_uid()),
        (result("7"), not_a_uid()),
    ] {
        let (mut client, log) = client(None, vec![answer]);
        assert_eq!(ping(&mut client, Safety::Harmless), Err(error));
        assert_eq!((client.server_info().uid, posts(&log)), (None, 1));
    }
}

#[test]
fn stale_uid_is_replaced_by_one_login() {
    let missing = "Record does not exist or has been deleted.\n(Record: res.users(5,), User: 5)";
    for stale in [
        fault(3, "Access Denied"),
        fault(2, missing),
        recorded("odoo18/object_wrong_password.xml"),
        recorded("odoo19/object_wrong_password.xml"),
    ] {
        let (mut client, log) = client(Some(5), vec![stale, result(8), result("a")]);
        assert_eq!(ping(&mut client, Safety::Harmless), Ok("a".into()));
        assert_eq!(client.server_info().uid, Some(8));
        assert_eq!(*log.borrow(), [pinged(5), login(), pinged(8)]);
    }
}

#[test]
fn second_refusal_is_an_authentication_error() {
    let denied = || fault(3, "Access Denied");
    for (uid, answers, requests) in [
        (Some(5), vec![denied(), result(5), denied()], 3),
        (Some(5), vec![denied(), result(false)], 2),
        (None, vec![result(5), denied()], 2),
    ] {
        let (mut client, log) = client(uid, answers);
        assert_eq!(ping(&mut client, Safety::Harmless), Err(refused()));
        assert_eq!(posts(&log), requests);
        assert_eq!(pauses(&log), []);
    }
}

#[test]
fn fault_about_another_user_causes_no_login() {
    let missing = "Record does not exist or has been deleted.\n(Record: res.users(99,), User: 5)";
    let (mut client, log) = client(Some(5), vec![fault(2, missing)]);
    assert_eq!(ping(&mut client, Safety::Once).unwrap_err().sqlstate(), "38000");
    assert_eq!((posts(&log), client.server_info().uid), (1, Some(5)));
}

#[test]
fn calls_that_end_in_a_fault_are_not_repeated() {
    for name in ["fault_missing_model", "fault_bad_kwarg", "fault_access_error_create"] {
        let (mut client, log) = client(Some(5), vec![recorded(&format!("odoo19/{name}.xml"))]);
        ping(&mut client, Safety::Harmless).unwrap_err();
        assert_eq!(log.borrow().len(), 1, "{name}");
    }
}

#[test]
fn only_harmless_or_unreceived_requests_are_retried() {
    let harmless = Resend::IfHarmless { after: None };
    for (resend, safety, requests) in [
        (Resend::Never, Safety::Harmless, 1),
        (Resend::Never, Safety::Once, 1),
        (harmless, Safety::Harmless, 4),
        (harmless, Safety::Once, 1),
        // The caller asks for fewer records.
        (harmless, Safety::Divisible, 2),
        (Resend::Always, Safety::Harmless, 4),
        (Resend::Always, Safety::Divisible, 4),
        (Resend::Always, Safety::Once, 4),
    ] {
        let (mut client, log) = client(Some(5), (0..9).map(|_| failure(resend)).collect());
        assert_eq!(ping(&mut client, safety), Err(lost("connection reset")));
        assert_eq!(posts(&log), requests, "{resend:?} {safety:?}");
        assert_eq!(pauses(&log).len(), requests - 1, "{resend:?} {safety:?}");
    }
}

#[test]
fn page_that_reached_a_time_limit_is_not_requested_again() {
    for (error, requests) in
        [(Error::Timeout(60), 1), (Error::HttpStatus(504), 1), (Error::HttpStatus(502), 2), (Error::HttpStatus(429), 4)]
    {
        let failure = || Err(Failure { error: error.clone(), resend: Resend::IfHarmless { after: None } });
        let (mut client, log) = client(Some(5), (0..9).map(|_| failure()).collect());
        assert_eq!(ping(&mut client, Safety::Divisible), Err(error.clone()));
        assert_eq!(posts(&log), requests, "{error}");
    }
}

#[test]
fn passing_fault_is_retried_unless_the_call_may_change_data() {
    let busy = || fault(1, "Traceback (most recent call last):\npsycopg2.pool.PoolError: The Connection Pool Is Full");
    for safety in [Safety::Harmless, Safety::Divisible] {
        let (mut client, log) = client(Some(5), vec![busy(), busy(), result("a")]);
        assert_eq!(ping(&mut client, safety), Ok("a".into()));
        assert_eq!((posts(&log), pauses(&log).len()), (3, 2));
    }
    for (safety, requests) in [(Safety::Harmless, 4), (Safety::Once, 1)] {
        let (mut client, log) = client(Some(5), (0..9).map(|_| busy()).collect());
        let error = ping(&mut client, safety).unwrap_err();
        assert_eq!((error.sqlstate(), posts(&log)), ("08006", requests), "{error}");
    }
    let (mut client, log) = client(None, vec![busy(), result(7), result("a")]);
    assert_eq!(ping(&mut client, Safety::Once), Ok("a".into()));
    assert_eq!(posts(&log), 3);
}

#[test]
fn retries_send_the_same_request() {
    let again = || failure(Resend::Always);
    let (mut client, log) = client(Some(5), vec![again(), again(), again(), result("a")]);
    assert_eq!(ping(&mut client, Safety::Harmless), Ok("a".into()));
    let posts: Vec<Asked> = log.borrow().iter().step_by(2).cloned().collect();
    assert_eq!(posts, vec![pinged(5); 4]);
}

#[test]
fn login_and_call_have_separate_retries() {
    let again = || failure(Resend::Always);
    let mut answers = vec![again(), again(), again(), result(7)];
    answers.extend([again(), again(), again(), result("a")]);
    let (mut client, log) = client(None, answers);
    assert_eq!(ping(&mut client, Safety::Once), Ok("a".into()));
    assert_eq!(posts(&log), 8);
}

#[test]
fn last_failure_is_reported() {
    let timeout = Err(Failure { error: Error::Timeout(60), resend: Resend::Never });
    let (mut client, log) = client(Some(5), vec![failure(Resend::Always), timeout]);
    assert_eq!(ping(&mut client, Safety::Harmless), Err(Error::Timeout(60)));
    assert_eq!(posts(&log), 2);
}

#[test]
fn pauses_grow_within_the_policy() {
    let (mut client, log) = client(Some(5), (0..4).map(|_| failure(Resend::Always)).collect());
    ping(&mut client, Safety::Harmless).unwrap_err();
    let pauses = pauses(&log);
    for (pause, (least, most)) in pauses.iter().zip([(50, 100), (100, 200), (200, 400)]) {
        let agreed = Duration::from_millis(least)..=Duration::from_millis(most);
        assert!(agreed.contains(pause), "{pauses:?}");
    }
    assert_eq!(pauses.len(), 3);
}

#[test]
fn retry_after_is_obeyed_up_to_the_longest_pause() {
    for (asked, paused) in [(1, 1), (3_600, 2)] {
        let after = Some(Duration::from_secs(asked));
        let answers = vec![failure(Resend::IfHarmless { after }), result("a")];
        let (mut client, log) = client(Some(5), answers);
        assert_eq!(ping(&mut client, Safety::Harmless), Ok("a".into()));
        assert_eq!(pauses(&log), [Duration::from_secs(paused)]);
    }
}

#[test]
fn cancelled_pause_ends_the_call() {
    let log = Log::default();
    let script =
        Script { answers: vec![failure(Resend::Always)].into(), log: Rc::clone(&log), pause: Err(Error::Cancelled) };
    let mut client = Client::new(script, account(), RETRIES, knows(5), Default::default());
    assert_eq!(ping(&mut client, Safety::Harmless), Err(Error::Cancelled));
    assert_eq!(posts(&log), 1);
}

#[test]
fn first_answer_sets_odoos_clock() {
    let at = |second| -> DateTime<Utc> { Utc.with_ymd_and_hms(2026, 1, 6, 12, 0, second).unwrap() };
    let dated = |second, answer: std::result::Result<Reply, Failure>| {
        answer.map(|reply| Reply { date: Some(at(second)), ..reply })
    };
    let answers = vec![failure(Resend::Always), dated(1, result(7)), dated(2, result("a")), dated(3, result("b"))];
    let script = Script { answers: answers.into(), log: Log::default(), pause: Ok(()) };
    let clock = Arc::default();
    let mut client = Client::new(script, account(), RETRIES, ServerInfo::default(), Arc::clone(&clock));
    assert_eq!(clock.get(), None);
    ping(&mut client, Safety::Harmless).unwrap();
    assert_eq!(clock.get(), Some(&at(1)));
    ping(&mut client, Safety::Harmless).unwrap();
    assert_eq!(clock.get(), Some(&at(1)));
}

#[test]
fn next_run_keeps_the_identity_unless_the_addon_failed() {
    let info = || result(record(&[("protocol", 1.into()), ("uuid", "u".into())]));
    let company = || result(list([record(&[("create_date", "2026-01-06 10:00:00".into())])]));
    let (mut client, log) = client(Some(7), vec![info(), company(), info(), company()]);
    for asked in [2, 2] {
        assert_eq!(client.identify().unwrap().uuid.as_deref(), Some("u"));
        assert_eq!(posts(&log), asked);
        client.begin_run(Arc::default());
    }
    client.give_up_addon(lost("damaged"));
    client.begin_run(Arc::default());
    assert!(client.has_addon());
    client.identify().unwrap();
    assert_eq!(posts(&log), 4);
}

#[test]
fn failing_addon_is_not_a_missing_one() {
    let info = |protocol: i64| result(record(&[("protocol", protocol.into()), ("uuid", "u".into())]));
    let broken = "Traceback (most recent call last):\nAttributeError: no attribute get_param";
    let failing = Addon::Failing { is_due: false };
    let answers = vec![
        (fault(1, broken), failing, Some("no attribute get_param")),
        (info(2), failing, Some("it has protocol 2, and this version of ipai_sync reads protocol 1")),
        (result(17), failing, Some("it does not tell its protocol")),
        (info(1), Addon::Present, None),
        (recorded("odoo19/fault_missing_model.xml"), Addon::Missing, None),
        (info(1), Addon::Present, None),
        (fault(1, broken), failing, Some("no attribute get_param")),
    ];
    let (replies, expected): (Vec<_>, Vec<_>) =
        answers.into_iter().map(|(reply, addon, problem)| (reply, (addon, problem))).unzip();
    let (mut client, _) = client(Some(7), replies);
    for (addon, problem) in expected {
        client.look_for_addon().unwrap();
        let known = client.server_info();
        assert_eq!(known.addon, addon);
        assert_eq!(known.uuid.is_some(), addon == Addon::Present);
        match problem {
            Some(problem) => assert!(known.addon_problem.as_ref().unwrap().contains(problem), "{known:?}"),
            None => assert_eq!(known.addon_problem, None),
        }
        assert_eq!(client.has_addon(), addon == Addon::Present);
    }
}

#[test]
fn each_run_has_the_clock_of_its_own_first_answer() {
    let at = |second| Utc.with_ymd_and_hms(2026, 1, 6, 10, 0, second).unwrap();
    let dated = |second| Ok(Reply { date: Some(at(second)), ..result(1).unwrap() });
    let (mut client, _) = client(Some(7), vec![dated(1), dated(2), dated(3)]);
    ping(&mut client, Safety::Harmless).unwrap();
    let clock = Arc::default();
    client.begin_run(Arc::clone(&clock));
    for _ in 0..2 {
        ping(&mut client, Safety::Harmless).unwrap();
    }
    assert_eq!(clock.get(), Some(&at(2)));
}

/// A scope with all options of a mirror.
fn wide_scope() -> Scope {
    Scope {
        domain: vec!["|".into(), term("is_company", "=", true), term("name", "like", "<&>")],
        lang: Some("de_DE".into()),
        company_ids: vec![3, 1],
        ..scope()
    }
}

fn wide_context() -> Value {
    record(&[
        ("active_test", false.into()),
        ("lang", "de_DE".into()),
        ("allowed_company_ids", list([3.into(), 1.into()])),
    ])
}

fn narrow_context() -> Value {
    record(&[("active_test", false.into())])
}

/// Records rows.
#[derive(Debug, Default, PartialEq)]
struct Rows(Vec<Vec<Value>>, Vec<Value>);

impl RowVisitor for Rows {
    fn column(&mut self, _member: &str) -> Option<usize> {
        Some(0)
    }

    fn value(&mut self, _column: usize, value: Scalar<'_>) -> Result<()> {
        self.1.push(value.into());
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.0.push(std::mem::take(&mut self.1));
        Ok(())
    }
}

#[test]
fn page_request_has_keyset_order_archived_records_and_bare_ids() {
    let fields = ["name".to_owned(), "write_date".to_owned()];
    let since = NaiveDate::from_ymd_opt(2026, 1, 6).unwrap().and_hms_micro_opt(9, 8, 7, 999_999);
    let first = term("id", ">", 41);
    let written = term("write_date", ">=", "2026-01-06 09:08:07");
    let either = ["|".into(), term("id", "in", list([99.into()])), written.clone()];
    for (scope, since, also, domain, context) in [
        (scope(), None, None, vec![first.clone()], narrow_context()),
        (scope(), since, None, vec![first.clone(), written.clone()], narrow_context()),
        (scope(), since, Some(99), [vec![first.clone()], either.to_vec()].concat(), narrow_context()),
        (wide_scope(), since, None, [vec![first, written], wide_scope().domain].concat(), wide_context()),
    ] {
        let answer = list([record(&[("id", 42.into())])]);
        let (mut client, log) = client(Some(5), vec![result(answer)]);
        let rows = client.search_read(&scope, &fields, page(41, since, also), Some(500), Rows::default).unwrap();
        assert_eq!(rows.0, [[Value::Int(42)]]);
        let kwargs = record(&[
            ("fields", list(["name".into(), "write_date".into()])),
            ("order", "id".into()),
            ("load", "".into()),
            ("context", context),
            ("limit", 500.into()),
        ]);
        let asked = execute(5, "res.partner", "search_read", list([list(domain)]), kwargs);
        assert_eq!(*log.borrow(), [asked]);
    }
}

#[test]
fn records_by_id_are_read_within_the_scope() {
    let (mut client, log) = client(Some(5), vec![result(list([]))]);
    let fields = ["name".to_owned()];
    let rows = client.search_read(&wide_scope(), &fields, [one_of(&[4, 9])], None, Rows::default);
    assert_eq!(rows, Ok(Rows::default()));
    let domain = [vec![term("id", "in", list([4.into(), 9.into()]))], wide_scope().domain].concat();
    let kwargs = record(&[
        ("fields", list(["name".into()])),
        ("order", "id".into()),
        ("load", "".into()),
        ("context", wide_context()),
    ]);
    let asked = execute(5, "res.partner", "search_read", list([list(domain)]), kwargs);
    assert_eq!(*log.borrow(), [asked]);
}

#[test]
fn ids_and_counts_are_read_within_the_scope() {
    let (mut client, log) = client(Some(5), vec![result(list([5.into(), 7.into()])), result(12)]);
    assert_eq!(client.search(&wide_scope(), [after(4)], 50_000), Ok(vec![5, 7]));
    assert_eq!(client.search_count(&wide_scope(), Vec::new()), Ok(12));
    let domain = [vec![term("id", ">", 4)], wide_scope().domain].concat();
    let kwargs = record(&[("order", "id".into()), ("limit", 50_000.into()), ("context", wide_context())]);
    let context = record(&[("context", wide_context())]);
    assert_eq!(
        *log.borrow(),
        [
            execute(5, "res.partner", "search", list([list(domain)]), kwargs),
            execute(5, "res.partner", "search_count", list([list(wide_scope().domain)]), context),
        ]
    );
}

#[test]
fn fields_and_version_are_read() {
    let answers = vec![recorded("odoo19/version.xml"), recorded("odoo19/fields_get.xml")];
    let (mut client, log) = client(Some(5), answers);
    assert_eq!(client.version().unwrap(), "19.0");
    let fields = client.fields("ipai.sample.metric", &["name".into()]).unwrap();
    let named = |name| fields.iter().find(|field| field.name == name).unwrap();
    assert!(fields.windows(2).all(|pair| pair[0].name < pair[1].name));
    let brand = named("brand_id");
    assert_eq!((brand.kind.as_str(), brand.relation.as_deref()), ("many2one", Some("res.partner")));
    assert!(brand.stored && !brand.required && !brand.has_digits);
    let name = named("name");
    assert_eq!((name.kind.as_str(), name.label.as_str(), name.required), ("char", "Name", true));
    assert_eq!((named("display_name").stored, named("id").stored), (false, true));
    let attributes = Field::ATTRIBUTES.map(Value::from);
    let kwargs = record(&[("attributes", list(attributes)), ("allfields", list(["name".into()]))]);
    assert_eq!(
        *log.borrow(),
        [
            // The version needs no login, so the request contains no password.
            xml(COMMON, encode_call("version", &[]).unwrap()),
            execute(5, "ipai.sample.metric", "fields_get", list([]), kwargs),
        ]
    );
}

#[test]
fn answers_of_an_unexpected_form_are_refused() {
    type Ask = fn(&mut Client<Script>) -> Result<()>;
    let count: Ask = |client| client.search_count(&scope(), Vec::new()).map(drop);
    let ids: Ask = |client| client.search(&scope(), [after(0)], 10).map(drop);
    let fields: Ask = |client| client.fields("m", &[]).map(drop);
    let models: Ask = |client| client.models().map(drop);
    let version: Ask = |client| client.version().map(drop);
    let rows: Ask = |client| client.search_read(&scope(), &[], [one_of(&[1])], None, Rows::default).map(drop);
    for (ask, answer) in [
        (count, result(-1)),
        (count, result("12")),
        (count, result(false)),
        (ids, result(false)),
        (ids, result(list(["5".into()]))),
        (fields, result(list([]))),
        (models, result(false)),
        (models, result(list([record(&[("model", "m".into())])]))),
        (version, result("19.0")),
        (version, result(record(&[("server_version", 19.into())]))),
        (rows, result(false)),
        (rows, result(list([1.into()]))),
        (rows, reply("")),
        (rows, reply("<html><body>Welcome</body></html>")),
    ] {
        let (mut client, log) = client(Some(5), vec![answer.clone()]);
        let error = ask(&mut client).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{answer:?}: {error}");
        assert!(!error.to_string().contains("Welcome"));
        assert_eq!(posts(&log), 1);
    }
}

#[test]
fn damaged_answer_gives_no_page() {
    let Ok(Reply { body, .. }) = recorded("odoo19/search_read_10.xml") else { panic!("no reply") };
    // The last byte is a line break.
    for length in (0..body.len() - 1).step_by(97).chain([body.len() - 2]) {
        let (mut client, log) = client(Some(5), vec![reply(&body[..length])]);
        let page = client.search_read(&scope(), &[], [one_of(&[1])], None, Rows::default);
        assert!(matches!(page, Err(Error::Malformed { .. })), "after {length} bytes");
        assert_eq!(posts(&log), 1);
    }
}

#[test]
fn each_attempt_fills_a_new_page() {
    let rows = || result(list([record(&[("id", 1.into())]), record(&[("id", 2.into())])]));
    let answers = vec![fault(3, "Access Denied"), result(7), rows()];
    let (mut client, _) = client(Some(5), answers);
    let mut pages = 0;
    let page = client.search_read(&scope(), &[], [one_of(&[1])], None, || {
        pages += 1;
        Rows::default()
    });
    assert_eq!(page.unwrap().0, [[Value::Int(1)], [Value::Int(2)]]);
    assert_eq!(pages, 2);
}

#[test]
fn request_that_xml_cannot_carry_is_not_sent() {
    let (mut client, log) = client(Some(5), Vec::new());
    let mut scope = scope();
    scope.domain = vec![term("name", "=", "\u{1}")];
    let error = client.search_count(&scope, Vec::new()).unwrap_err();
    assert_eq!(error.sqlstate(), "22021");
    assert_eq!(posts(&log), 0);
}

#[test]
fn password_that_cannot_be_encoded_is_not_shown() {
    let mut account = account();
    account.password = Secret::new(format!("{PASSWORD}\u{1}"));
    let script = Script { answers: VecDeque::new(), log: Log::default(), pause: Ok(()) };
    let mut client = Client::new(script, account.clone(), RETRIES, ServerInfo::default(), Default::default());
    let error = client.authenticate().unwrap_err();
    assert!(!format!("{error} {error:?} {account:?}").contains("s3cret"), "{error}");
    assert_eq!(error.sqlstate(), "22021");
}

#[test]
fn call_once_never_repeats_the_method() {
    let call = |client: &mut Client<Script>| client.call_once("m", "write", Vec::new(), Vec::new());
    let context_get = |uid| execute(uid, "res.users", "context_get", list([]), record(&[]));
    let write = |uid| execute(uid, "m", "write", list([]), record(&[]));
    // The remembered login is valid: the client sends one request to verify it, and the call.
    let (mut sound, log) = client(Some(5), vec![result(record(&[])), result(7)]);
    assert_eq!(call(&mut sound), Ok(Some(Value::Int(7))));
    assert_eq!(*log.borrow(), [context_get(5), write(5)]);
    // The remembered login is stale: Odoo refuses the verification and not the call.
    let answers = vec![fault(3, "Access Denied"), result(6), result(record(&[])), result(7)];
    let (mut stale, log) = client(Some(5), answers);
    assert_eq!(call(&mut stale), Ok(Some(Value::Int(7))));
    assert_eq!(log.borrow()[2..], [context_get(6), write(6)]);
    // The method itself denies access: the client sends nothing again and keeps the login.
    for (denied, sqlstate) in [(fault(3, "Access Denied"), "42501"), (fault(2, "Missing: res.users(5)"), "38000")] {
        let (mut within, log) = client(Some(5), vec![result(record(&[])), denied]);
        assert_eq!(call(&mut within).unwrap_err().sqlstate(), sqlstate);
        assert_eq!(posts(&log), 2);
    }
    // The connection breaks after Odoo may have executed the call.
    let (mut lost, log) = client(None, vec![result(5), failure(Resend::IfHarmless { after: None })]);
    assert_eq!(call(&mut lost).unwrap_err().sqlstate(), "08006");
    assert_eq!(posts(&log), 2);
    // The method returned None, so it completed.
    for version in ["odoo18", "odoo19"] {
        let answer = recorded(&format!("{version}/fault_method_returns_none.xml"));
        let (mut none, _) = client(None, vec![result(5), answer]);
        assert_eq!(call(&mut none), Ok(None));
    }
    // The method itself failed with the same text.
    let within = "Traceback (most recent call last):\n  File \"rpc.py\", line 1, in dispatch_rpc\nTypeError: cannot marshal None";
    let (mut failed, _) = client(None, vec![result(5), fault(1, within)]);
    assert_eq!(call(&mut failed).unwrap_err().sqlstate(), "38000");
}

#[test]
fn records_are_read_by_id_with_archived_ones_in_lists() {
    let answers = vec![result(list([4.into(), 9.into()])), result(list([record(&[("id", 4.into())])]))];
    let (mut client, log) = client(Some(5), answers);
    assert_eq!(client.search(&wide_scope(), [one_of(&[4, 9, 11])], 3), Ok(vec![4, 9]));
    let rows = client.read(&wide_scope(), &["name".to_owned()], &[4, 9], Rows::default).unwrap();
    assert_eq!(rows.0, [[Value::Int(4)]]);
    let domain = [vec![term("id", "in", list([4.into(), 9.into(), 11.into()]))], wide_scope().domain].concat();
    let kwargs = record(&[("order", "id".into()), ("limit", 3.into()), ("context", wide_context())]);
    let reading = record(&[("fields", list(["name".into()])), ("load", "".into()), ("context", wide_context())]);
    assert_eq!(
        *log.borrow(),
        [
            execute(5, "res.partner", "search", list([list(domain)]), kwargs),
            execute(5, "res.partner", "read", list([list([4.into(), 9.into()])]), reading),
        ]
    );
}

/// An answer with this result, of this many bytes.
fn padded(value: impl Into<Value>, bytes: usize) -> std::result::Result<Reply, Failure> {
    let Ok(Reply { mut body, .. }) = result(value) else { panic!("no reply") };
    body.resize(bytes, b' ');
    reply(body)
}

#[test]
fn answers_are_limited_by_the_kind_of_call() {
    type Ask = fn(&mut Client<Script>) -> Result<()>;
    let version: Ask = |client| client.version().map(drop);
    let login: Ask = |client| client.authenticate().map(drop);
    let count: Ask = |client| client.search_count(&scope(), Vec::new()).map(drop);
    let counts: Ask = |client| client.search_counts(&scope(), vec![Vec::new()]).map(drop);
    let addon: Ask = |client| client.look_for_addon();
    let proof: Ask = |client| client.prove_login();
    let fields: Ask = |client| client.fields("m", &[]).map(drop);
    let models: Ask = |client| client.models().map(drop);
    let ids: Ask = |client| client.search(&scope(), [after(0)], 50_000).map(drop);
    let digests: Ask = |client| client.digest(&scope(), &[0, 9]).map(drop);
    let page: Ask = |client| client.search_read(&scope(), &[], [after(0)], Some(9), Rows::default).map(drop);
    let once: Ask = |client| client.call_once("m", "x", Vec::new(), Vec::new()).map(drop);
    let (mega, empty) = (1 << 20, || record(&[]));
    let digest = list([list([0.into(), "0".into(), "0".into()])]);
    for (ask, value, most) in [
        (version, record(&[("server_version", "19.0".into())]), mega),
        (login, 7.into(), mega),
        (count, 7.into(), mega),
        (counts, 7.into(), mega),
        (addon, empty(), mega),
        (proof, empty(), mega),
        (fields, empty(), 32 * mega),
        (models, list([]), 32 * mega),
        (ids, list([]), mega + 50_000 * 64),
        (digests, digest, mega + 2 * 512),
    ] {
        let asked = |bytes| ask(&mut client(Some(5), vec![padded(value.clone(), bytes)]).0);
        assert_eq!(asked(most), Ok(()));
        let error = asked(most + 1).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{error}");
        assert!(error.hint().unwrap().contains("url option"), "{error}");
    }
    for (ask, answers) in [(page, vec![padded(list([]), 33 << 20)]), (once, vec![result(empty()), padded(7, 33 << 20)])]
    {
        assert_eq!(ask(&mut client(Some(5), answers).0), Ok(()));
    }
    // A fault is an answer like others.
    let Ok(Reply { mut body, .. }) = fault(1, "ValueError: x") else { panic!("no reply") };
    body.resize(mega + 1, b' ');
    assert!(matches!(count(&mut client(Some(5), vec![reply(body)]).0), Err(Error::Limit { .. })));
}

#[test]
fn texts_of_odoo_are_bounded_and_visible() {
    let evil = format!("{PASSWORD}\u{202e}\r{}", "x".repeat(3_000));
    let is_clean = |text: &str, is_redacted: bool| {
        assert!(text.contains('\u{fffd}') && !text.contains(['\u{202e}', '\r']), "{text}");
        assert!(text.chars().count() < 2_010 && text.contains(PASSWORD) != is_redacted, "{text}");
    };
    let attributes = ["type", "string", "help", "relation"].map(|name| (name, Value::from(evil.as_str())));
    let named = |names: [&str; 2]| list([record(&names.map(|name| (name, evil.as_str().into())))]);
    let answers = vec![
        result(record(&[("server_version", evil.as_str().into())])),
        result(record(&[(&evil, record(&attributes))])),
        result(named(["model", "display_name"])),
        result(record(&[("protocol", 1.into()), ("uuid", evil.as_str().into())])),
        fault(2, &format!("{evil}\n\n{evil}")),
        Err(Failure { error: lost(&evil), resend: Resend::Never }),
    ];
    let (mut client, _) = client(Some(5), answers);
    is_clean(&client.version().unwrap(), true);
    let field = client.fields("m", &[]).unwrap().remove(0);
    for (text, is_redacted) in [
        (&field.name, false),
        (&field.kind, false),
        (&field.relation.unwrap(), false),
        (&field.label, true),
        (&field.help.unwrap(), true),
    ] {
        is_clean(text, is_redacted);
    }
    let (model, label) = client.models().unwrap().remove(0);
    is_clean(&model, false);
    is_clean(&label, true);
    client.look_for_addon().unwrap();
    assert_eq!(client.server_info().addon, Addon::Present);
    is_clean(client.server_info().uuid.as_deref().unwrap(), false);
    for _ in 0..2 {
        let error = ping(&mut client, Safety::Harmless).unwrap_err();
        is_clean(error.to_string().split_once(": ").unwrap().1, true);
    }
}
