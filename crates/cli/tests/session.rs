//! The session over the wire protocol, on a real Postgres. `scripts/test wire_session` starts the
//! server and runs the tests that need it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::{NaiveDate, NaiveDateTime};
use ipai_cli::session::{Console, Stop, Tls, WireSession};
use ipai_mirror::engine::Progress;
use ipai_mirror::session::{Param, Row, Session, Value, internal};
use ipai_mirror::store::statements::Statements;
use ipai_mirror::{Column, FieldMap, Kind, Mirror, Packed, Table};
use ipai_odoo::Scope;
use ipai_odoo::error::{Error, Result};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::Config;

/// A session with the server of the test.
fn open() -> WireSession {
    open_with("", || Ok(()))
}

/// `settings` are added to the address, which has the form `name=value name=value`.
fn open_with(settings: &str, stop: Stop) -> WireSession {
    let address = std::env::var("IPAI_TEST_DATABASE").expect("the address of the database");
    connect(&format!("{address} {settings}").parse().unwrap(), stop).unwrap()
}

fn connect(config: &Config, stop: Stop) -> Result<WireSession> {
    WireSession::open(config, &Tls::new(None)?, stop, Arc::new(Stderr))
}

/// Shows messages as psql does.
struct Stderr;

impl Console for Stderr {
    fn message(&self, level: &str, message: &str, hint: Option<&str>) {
        eprintln!("{level}:  {message}");
        hint.inspect(|hint| eprintln!("HINT:  {hint}"));
    }

    fn progress(&self, _: &str, _: &Progress) {}
}

fn text(session: &mut dyn Session, sql: &str) -> String {
    session.first(sql, &[], |row| row.get(0)).unwrap().unwrap()
}

fn number(session: &mut dyn Session, sql: &str) -> i32 {
    session.first(sql, &[], |row| row.get(0)).unwrap().unwrap()
}

/// A new, committed table.
fn create_table(session: &mut dyn Session, name: &str, columns: &str) {
    for sql in [format!("drop table if exists public.{name}"), format!("create table public.{name} ({columns})")] {
        session.run(&sql, &[]).unwrap();
    }
    session.commit().unwrap();
}

fn ids(session: &mut dyn Session, table: &str) -> Vec<i32> {
    session.all(&format!("select id from public.{table} order by id"), &[], |row| row.get(0)).unwrap()
}

fn insert(session: &mut dyn Session, table: &str, id: i32) -> Result<u64> {
    session.run(&format!("insert into public.{table} values ($1)"), &[id.into()])
}

fn moment(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

// Values -------------------------------------------------------------------------------------

#[test]
#[ignore = "needs a server"]
fn values_return_as_they_were_sent() {
    let awkward = "It's \"quoted\" \\ {a,NULL} $1 \r\n\t ñ 日本語 👩🏽‍🍳";
    let texts = [awkward.to_owned(), String::new(), "NULL".to_owned()];
    let stamp = moment("2026-02-28T23:59:59.123456");
    let old = moment("0001-01-01T00:00:00");
    let cases: Vec<(Param<'_>, &str, Value<'_>)> = vec![
        (true.into(), "bool", Value::Bool(true)),
        (false.into(), "bool", Value::Bool(false)),
        (i32::MIN.into(), "integer", Value::Integer(i32::MIN)),
        (i64::MAX.into(), "bigint", Value::Bigint(i64::MAX)),
        (f64::NEG_INFINITY.into(), "float8", Value::Double(f64::NEG_INFINITY)),
        (0.1.into(), "float8", Value::Double(0.1)),
        (awkward.into(), "text", Value::Text(Cow::Borrowed(awkward))),
        ("".into(), "text", Value::Text(Cow::Borrowed(""))),
        (stamp.into(), "timestamptz", Value::Timestamptz(stamp)),
        (old.into(), "timestamptz", Value::Timestamptz(old)),
        (Param::Bigints(&[3, i64::MIN]), "bigint[]", Value::Bigints(vec![3, i64::MIN])),
        (Param::Bigints(&[]), "bigint[]", Value::Bigints(vec![])),
        (Param::Texts(&texts), "text[]", Value::Texts(texts.to_vec())),
        (Param::Texts(&[]), "text[]", Value::Texts(vec![])),
        (Param::Bool(None), "bool", Value::Null),
        (Param::Integer(None), "integer", Value::Null),
        (Param::Bigint(None), "bigint", Value::Null),
        (Param::Double(None), "float8", Value::Null),
        (Param::Text(None), "text", Value::Null),
        (Param::Timestamptz(None), "timestamptz", Value::Null),
    ];
    let mut session = open();
    for (param, kind, expected) in cases {
        let mut visited = 0;
        let mut visit = |row: &dyn Row| {
            visited += 1;
            assert_eq!(row.value(0)?, expected, "{kind}");
            Ok(())
        };
        // Without a cast: the parameter has this type, as it has over SPI.
        let sql = format!("select $1 where $1 is null or pg_typeof($1) = '{kind}'::regtype");
        assert_eq!(session.query(&sql, &[param], &mut visit).unwrap(), 1, "{kind}");
        assert_eq!(visited, 1);
    }
}

#[test]
#[ignore = "needs a server"]
fn moments_that_odoo_cannot_read_are_null() {
    let mut session = open();
    for stamp in ["infinity", "-infinity", "10000-01-01", "0001-01-01 BC"] {
        let sql = format!("select timestamptz '{stamp}'");
        let mut visit = |row: &dyn Row| {
            assert_eq!(row.value(0)?, Value::Null, "{stamp}");
            Ok(())
        };
        assert_eq!(session.query(&sql, &[], &mut visit).unwrap(), 1);
    }
}

#[test]
#[ignore = "needs a server"]
fn result_of_another_type_is_an_error() {
    let session: &mut dyn Session = &mut open();
    let error = session.first("select 1.5", &[], |row| row.optional::<String>(0)).unwrap_err();
    assert_eq!(error, internal("a column of type numeric"));
    let error = session.first("select 1", &[], |row| row.optional::<i32>(1)).unwrap_err();
    assert_eq!(error, internal("no column 1"));
}

/// A table with a column of each kind, and a page for it: set, null, and awkward cells.
fn page_of_every_kind() -> (Mirror, Vec<i64>, Vec<Column>) {
    let fields = Kind::ALL.iter().enumerate().map(|(index, kind)| {
        let column = format!("c{index}");
        FieldMap { field: column.clone(), column, kind: *kind }
    });
    let mirror = Mirror {
        name: "kinds".to_owned(),
        server: Some("odoo".to_owned()),
        target: Table { schema: "public".to_owned(), name: "kinds".to_owned() },
        scope: Scope { model: "x".to_owned(), domain: Vec::new(), lang: None, company_ids: Vec::new() },
        fields: fields.collect(),
        constants: Vec::new(),
        drift: Vec::new(),
        has_write_date: true,
        page_size: 10,
        max_delete_ratio: 0.2,
        max_rejects: 100,
        is_partitioned: false,
        flag_field: None,
        masks: Default::default(),
        marks_deleted: false,
    };
    let packed = |cells: [Option<&str>; 3]| cells.into_iter().collect::<Packed>();
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day);
    let columns = Kind::ALL.iter().map(|kind| match kind {
        Kind::Text => Column::Text(packed([Some("it's {\"a\",NULL} \\ 🚀"), None, Some("")])),
        Kind::Integer => Column::Integer(vec![Some(-1), None, Some(i32::MAX)]),
        Kind::Bigint => Column::Bigint(vec![Some(-1), None, Some(i64::MAX)]),
        Kind::Double => Column::Double(vec![Some(0.1 + 0.2), None, Some(f64::NAN)]),
        Kind::Numeric => Column::Numeric(packed([Some("123456789012345678901234567890.0010"), None, Some("-0.5")])),
        Kind::Boolean => Column::Boolean(vec![Some(true), None, Some(false)]),
        Kind::Date => Column::Date(vec![day(2024, 2, 29), None, day(1, 1, 1)]),
        Kind::Timestamptz => {
            Column::Timestamptz(vec![Some(moment("2026-01-05T08:00:00.5")), None, Some(moment("1969-12-31T23:59:59"))])
        }
        Kind::BigintArray => Column::BigintArray(packed([Some("{1,9223372036854775807}"), None, Some("{}")])),
        Kind::Jsonb => Column::Jsonb(packed([Some(r#"{"a": ["it's", null, 1.10]}"#), None, Some("[]")])),
        Kind::Bytea => Column::Bytea([Some(&b"\x00\xff'\\"[..]), None, Some(&b""[..])].into_iter().collect()),
    });
    (mirror, vec![1, 2, 3], columns.collect())
}

#[test]
#[ignore = "needs a server"]
fn page_of_every_kind_is_written_and_found_unchanged() {
    let session: &mut dyn Session = &mut open();
    let (mirror, ids, columns) = page_of_every_kind();
    let defined = mirror.fields.iter().map(|map| format!("{} {}", map.column, map.kind.sql()));
    create_table(session, "kinds", &format!("odoo_id bigint primary key, {}", defined.collect::<Vec<_>>().join(", ")));
    let statements = Statements::new(&mirror);
    let mut params: Vec<Param<'_>> = std::iter::once(Param::Bigints(&ids)).collect();
    params.extend(columns.iter().map(Param::Column));
    assert_eq!(session.run(&statements.insert, &params).unwrap(), 3);
    params.extend([Param::from(1i64), 3i64.into()]);
    let counts = session.change(&statements.upsert, &params, |row| Ok((row.count(0)?, row.count(1)?))).unwrap();
    assert_eq!(counts, Some((0, 0)));
    let mut row = |id: i64| {
        let texts = mirror.fields.iter().map(|map| format!("coalesce({}::text, '<null>')", map.column));
        let sql =
            format!("select array[{}] from public.kinds where odoo_id = $1", texts.collect::<Vec<_>>().join(", "));
        session.first(&sql, &[id.into()], |row| row.get::<Vec<String>>(0)).unwrap().unwrap()
    };
    assert_eq!(
        row(1),
        [
            "it's {\"a\",NULL} \\ 🚀",
            "-1",
            "-1",
            "0.30000000000000004",
            "123456789012345678901234567890.0010",
            "true",
            "2024-02-29",
            "2026-01-05 08:00:00.5+00",
            "{1,9223372036854775807}",
            r#"{"a": ["it's", null, 1.10]}"#,
            r"\x00ff275c",
        ]
    );
    assert_eq!(row(2), ["<null>"; 11]);
    assert_eq!(
        row(3),
        [
            "",
            "2147483647",
            "9223372036854775807",
            "NaN",
            "-0.5",
            "false",
            "0001-01-01",
            "1969-12-31 23:59:59+00",
            "{}",
            "[]",
            "\\x",
        ]
    );
}

#[test]
#[ignore = "needs a server"]
fn page_over_one_gb_is_refused() {
    let session: &mut dyn Session = &mut open();
    let column = Column::Boolean(vec![None; 220_000_000]);
    let error = session.run("select cardinality($1)", &[Param::Column(&column)]).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error:?}");
    session.rollback().unwrap();
    assert_eq!(number(session, "select 1"), 1);
}

// Transactions -------------------------------------------------------------------------------

#[test]
#[ignore = "needs a server"]
fn failed_savepoint_keeps_what_was_before_it() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "savepoints", "id integer primary key");
    insert(session, "savepoints", 1).unwrap();
    let failed = session.within(|session| {
        insert(session, "savepoints", 2)?;
        session.within(|session| insert(session, "savepoints", 3))?;
        insert(session, "savepoints", 1)
    });
    assert_eq!(failed.unwrap_err().sqlstate(), "23505");
    // An inner savepoint that fails, inside of one that succeeds.
    session
        .within(|session| {
            insert(session, "savepoints", 4)?;
            let failed = session.within(|session| {
                insert(session, "savepoints", 5)?;
                insert(session, "savepoints", 4)
            });
            assert_eq!(failed.unwrap_err().sqlstate(), "23505");
            insert(session, "savepoints", 6)
        })
        .unwrap();
    session.commit().unwrap();
    assert_eq!(ids(session, "savepoints"), [1, 4, 6]);
}

#[test]
#[ignore = "needs a server"]
fn savepoint_that_fails_before_its_first_statement_changes_nothing() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "unsent", "id integer primary key");
    let fail = |session: &mut dyn Session| session.within(|_| Err::<(), _>(Error::Cancelled)).unwrap_err();
    assert_eq!(fail(session), Error::Cancelled);
    session.commit().unwrap();
    insert(session, "unsent", 1).unwrap();
    session
        .within(|session| {
            assert_eq!(fail(session), Error::Cancelled);
            insert(session, "unsent", 2)
        })
        .unwrap();
    session.commit().unwrap();
    assert_eq!(ids(session, "unsent"), [1, 2]);
}

#[test]
#[ignore = "needs a server"]
fn rollback_undoes_everything_since_the_last_commit() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "rollbacks", "id integer primary key");
    insert(session, "rollbacks", 1).unwrap();
    session.commit().unwrap();
    insert(session, "rollbacks", 2).unwrap();
    assert!(insert(session, "rollbacks", 1).is_err());
    session.rollback().unwrap();
    assert_eq!(ids(session, "rollbacks"), [1]);
    assert!(session.may_commit());
}

#[test]
#[ignore = "needs a server"]
fn commit_leaves_no_transaction_and_no_lock() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "idle", "id integer primary key");
    insert(session, "idle", 1).unwrap();
    let pid = number(session, "select pg_backend_pid()");
    let observer: &mut dyn Session = &mut open();
    let mut state = || {
        let sql = "select a.state || ' ' || (select count(*) from pg_locks l where l.pid = a.pid)
                   from pg_stat_activity a where a.pid = $1";
        let state = observer.first(sql, &[pid.into()], |row| row.get::<String>(0)).unwrap().unwrap();
        // A transaction sees the activity as it was at its first look.
        observer.commit().unwrap();
        state
    };
    assert!(state().starts_with("idle in transaction "));
    session.commit().unwrap();
    assert_eq!(state(), "idle 0");
    // A savepoint without a statement sends nothing.
    session.within(|_| Ok(())).unwrap();
    assert_eq!(state(), "idle 0");
    session.commit().unwrap();
    assert_eq!(ids(session, "idle"), [1]);
}

#[test]
#[ignore = "needs a server"]
fn failed_commit_is_an_error_and_the_session_goes_on() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "deferred", "id integer unique deferrable initially deferred");
    insert(session, "deferred", 1).unwrap();
    session.within(|session| insert(session, "deferred", 1)).unwrap();
    let error = session.commit().unwrap_err();
    assert_eq!((error.sqlstate(), error.constraint()), ("23505", Some("deferred_id_key")));
    session.rollback().unwrap();
    assert_eq!(ids(session, "deferred"), [0i32; 0]);
}

#[test]
#[ignore = "needs a server"]
fn counts_are_those_of_returned_or_changed_rows() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "counted", "id integer primary key");
    let sql = "insert into public.counted select generate_series(1, 5000)";
    assert_eq!(session.run(sql, &[]).unwrap(), 5000);
    let mut sum = 0;
    let visited = session.query("select id from public.counted", &[], &mut |row| {
        sum += row.get::<i32>(0)?;
        Ok(())
    });
    assert_eq!((visited.unwrap(), sum), (5000, 12_502_500));
    let returned = session.all("delete from public.counted where id <= 3 returning id", &[], |row| row.get::<i32>(0));
    assert_eq!(returned.unwrap().len(), 3);
    // An error of the visitor ends the statement.
    let stopped = session.query("select id from public.counted", &[], &mut |_| Err(internal("enough")));
    assert_eq!(stopped.unwrap_err(), internal("enough"));
    assert_eq!(number(session, "select 7"), 7);
}

// Errors -------------------------------------------------------------------------------------

#[test]
#[ignore = "needs a server"]
fn error_of_a_trigger_is_complete() {
    let session: &mut dyn Session = &mut open();
    create_table(session, "guarded", "id integer primary key");
    for sql in [
        "create or replace function public.refuse() returns trigger language plpgsql as $$
         begin
             raise 'refused' using errcode = 'P0042', detail = 'the facts', hint = 'the way out', constraint = 'my_rule';
         end $$",
        "create trigger refuse before insert on public.guarded for each row execute function public.refuse()",
    ] {
        session.run(sql, &[]).unwrap();
    }
    let error = session.within(|session| insert(session, "guarded", 1)).unwrap_err();
    assert_eq!((error.sqlstate(), error.to_string().as_str()), ("P0042", "refused"));
    assert_eq!((error.detail().as_deref(), error.hint().as_deref()), (Some("the facts"), Some("the way out")));
    assert_eq!((error.constraint(), error.is_timeout()), (Some("my_rule"), false));
}

#[test]
#[ignore = "needs a server"]
fn terminated_backend_is_a_lost_connection() {
    let observer: &mut dyn Session = &mut open();
    let mut idle = open();
    let pid = number(&mut idle, "select pg_backend_pid()");
    let terminate = "select pg_terminate_backend($1, 5000)";
    assert!(observer.is_true(terminate, &[pid.into()]).unwrap());
    let session: &mut dyn Session = &mut idle;
    for _ in 0..2 {
        let error = session.run("select 1", &[]).unwrap_err();
        assert_eq!(
            (error.sqlstate(), error.to_string().as_str()),
            ("08006", "the connection to the database was lost")
        );
    }
    assert_eq!(session.rollback().unwrap_err().sqlstate(), "08006");
    // While a statement runs, which ends its own backend.
    let session: &mut dyn Session = &mut open();
    let error = session.run("select pg_terminate_backend(pg_backend_pid()), pg_sleep(10)", &[]).unwrap_err();
    assert_eq!(error.sqlstate(), "08006");
}

#[test]
#[ignore = "needs a server"]
fn ticker_notices_a_lost_connection_between_statements() {
    let observer: &mut dyn Session = &mut open();
    let mut idle = open();
    let tick = idle.ticker();
    let pid = number(&mut idle, "select pg_backend_pid()");
    idle.commit().unwrap();
    let began = Instant::now();
    (0..100).for_each(|_| tick().unwrap());
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    // The ticks have received nothing that the next statement needs.
    assert_eq!(number(&mut idle, "select 7"), 7);
    tick().unwrap();
    assert!(observer.is_true("select pg_terminate_backend($1, 5000)", &[pid.into()]).unwrap());
    let error = tick().unwrap_err();
    assert_eq!((error.sqlstate(), error.to_string().as_str()), ("08006", "the connection to the database was lost"));
    assert_eq!(error.detail().as_deref(), Some("terminating connection due to administrator command"));
    assert_eq!((&mut idle as &mut dyn Session).run("select 1", &[]).unwrap_err().sqlstate(), "08006");
}

/// A signal for each test that cancels.
static SIGNALS: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

fn tick<const TEST: usize>() -> Result<()> {
    match SIGNALS[TEST].swap(false, Ordering::Relaxed) {
        true => Err(Error::Cancelled),
        false => Ok(()),
    }
}

#[test]
#[ignore = "needs a server"]
fn tick_cancels_the_statement_and_the_session_goes_on() {
    let session: &mut dyn Session = &mut open_with("", tick::<0>);
    create_table(session, "cancelled", "id integer primary key");
    let pid = number(session, "select pg_backend_pid()");
    insert(session, "cancelled", 1).unwrap();
    SIGNALS[0].store(true, Ordering::Relaxed);
    let began = Instant::now();
    let error = session.within(|session| session.run("select pg_sleep(30)", &[])).unwrap_err();
    assert_eq!(error, Error::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The cancel reached the statement, so the connection was kept.
    insert(session, "cancelled", 2).unwrap();
    session.commit().unwrap();
    assert_eq!(number(session, "select pg_backend_pid()"), pid);
    assert_eq!(ids(session, "cancelled"), [1, 2]);
}

#[test]
#[ignore = "needs a server"]
fn statement_that_ignores_the_cancel_costs_the_connection() {
    let session: &mut dyn Session = &mut open_with("", tick::<1>);
    let pid = number(session, "select pg_backend_pid()");
    SIGNALS[1].store(true, Ordering::Relaxed);
    // Postgres may signal a backend twice for one cancel.
    let stubborn = "do $$ begin
                        loop
                            begin
                                perform pg_sleep(30);
                            exception when query_canceled then
                            end;
                        end loop;
                    end $$";
    let began = Instant::now();
    assert_eq!(session.run(stubborn, &[]).unwrap_err(), Error::Cancelled);
    assert_eq!(session.rollback().unwrap_err().sqlstate(), "08006");
    // The server ends the backend when it notices that the client is gone.
    let observer: &mut dyn Session = &mut open();
    while observer.is_true("select true from pg_stat_activity where pid = $1", &[pid.into()]).unwrap() {
        observer.commit().unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs a server"]
fn settings_of_the_role_do_not_apply() {
    let settings = "options='-c search_path=public -c statement_timeout=50 -c default_transaction_read_only=on'";
    let session: &mut dyn Session = &mut open_with(settings, || Ok(()));
    session.run("select pg_sleep(0.3)", &[]).unwrap();
    assert_eq!(text(session, "select pg_catalog.current_setting('search_path')"), "pg_catalog, pg_temp");
    session.run("create table public.writable ()", &[]).unwrap();
    session.rollback().unwrap();
}

#[test]
#[ignore = "needs a server"]
fn cancel_by_an_operator_is_no_timeout() {
    let session: &mut dyn Session = &mut open();
    let error = session.run("select pg_cancel_backend(pg_backend_pid()), pg_sleep(10)", &[]).unwrap_err();
    assert_eq!((error.sqlstate(), error.is_timeout()), ("57014", false));
}

#[test]
fn failed_connection_has_its_own_sqlstate() {
    // Nothing listens on port 1.
    let config = "host=127.0.0.1 port=1 user=nobody".parse().unwrap();
    let error = connect(&config, || Ok(())).err().unwrap();
    assert_eq!((error.sqlstate(), error.to_string().as_str()), ("08001", "could not connect to the database"));
}

#[test]
#[ignore = "needs a server"]
fn refused_login_keeps_its_sqlstate() {
    let address = std::env::var("IPAI_TEST_DATABASE").unwrap();
    let config = format!("{address} dbname=missing").parse().unwrap();
    assert_eq!(connect(&config, || Ok(())).err().unwrap().sqlstate(), "3D000");
}

#[test]
fn several_hosts_are_refused() {
    let config = "host=one,two user=nobody".parse().unwrap();
    assert_eq!(connect(&config, || Ok(())).err().unwrap().sqlstate(), "22023");
}
