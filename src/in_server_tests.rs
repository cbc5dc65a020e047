//! Tests inside of a server, on every version that the extension is tested with. What needs more
//! than one session or a real Odoo is in `tests/e2e`.

use pgrx::pg_schema;

#[pg_schema]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::recorded::Recorded;
    use crate::report;
    use crate::session::SpiSession;
    use crate::subtransaction;
    use chrono::{NaiveDate, NaiveDateTime};
    use ipai_mirror::engine::IdRange;
    use ipai_mirror::engine::{Sink, Written};
    use ipai_mirror::store::sink::TableSink;
    use ipai_mirror::{Column, FieldMap, Kind, Mirror, Packed, Page, Table};
    use ipai_odoo::Scope;
    use ipai_odoo::error::Error;
    use pgrx::prelude::*;

    const MIGRATION: &str = include_str!("../migrations/202601130001_IPAI_SAMPLE_METRICS.sql");

    fn count(sql: &str) -> i64 {
        Spi::get_one::<i64>(sql).unwrap().unwrap()
    }

    fn text(sql: &str) -> Option<String> {
        Spi::get_one::<String>(sql).unwrap()
    }

    fn server(url: &str) {
        Spi::run(&format!(
            "create server odoo foreign data wrapper ipai_odoo options (url '{url}', dbname 'odoo19');
             create user mapping for current_user server odoo options (user 'admin', password 'admin')"
        ))
        .unwrap();
    }

    #[pg_test(error = "invalid option \"ulr\"")]
    fn a_misspelt_option_is_refused_when_it_is_typed() {
        Spi::run("create server odoo foreign data wrapper ipai_odoo options (ulr 'https://erp.example.com')").unwrap();
    }

    #[pg_test(error = "plain http would send the password in clear over the network")]
    fn plain_http_is_refused_when_it_is_altered() {
        server("https://erp.example.com");
        Spi::run("alter server odoo options (set url 'http://erp.example.com')").unwrap();
    }

    #[pg_test(error = "the option dbname is missing")]
    fn a_required_option_cannot_be_dropped() {
        server("https://erp.example.com");
        Spi::run("alter server odoo options (drop dbname)").unwrap();
    }

    #[pg_test(error = "the options password and password_secret exclude each other")]
    fn a_mapping_has_one_kind_of_password() {
        server("https://erp.example.com");
        Spi::run("alter user mapping for current_user server odoo options (add password_secret 'x')").unwrap();
    }

    #[pg_test(error = "invalid option \"x\"")]
    fn the_wrapper_itself_has_no_options() {
        Spi::run("alter foreign data wrapper ipai_odoo options (add x 'y')").unwrap();
    }

    #[pg_test(error = "there is no Odoo server yet")]
    fn without_a_server_the_next_step_is_told() {
        Spi::run(MIGRATION).unwrap();
        Spi::run("select * from ipai.sync_sample_metrics()").unwrap();
    }

    #[pg_test(error = "mirror \"sample_metric\" does not exist")]
    fn an_unknown_mirror_is_refused() {
        Spi::run("select * from ipai.sync_mirror('sample_metric')").unwrap();
    }

    #[pg_test(error = "table \"ipai.ipai_sample_metrics\" does not exist")]
    fn a_missing_table_is_found_before_odoo_is_asked() {
        Spi::run(MIGRATION).unwrap();
        server("https://erp.example.com");
        Spi::run("drop table ipai.ipai_sample_metrics").unwrap();
        Spi::run("select * from ipai.sync_sample_metrics()").unwrap();
    }

    #[pg_test(error = "the user mapping for PUBLIC of server \"odoo\" holds a plain password")]
    fn a_plain_password_for_everybody_is_refused() {
        server("https://erp.example.com");
        Spi::run(
            "drop user mapping for current_user server odoo;
             create user mapping for public server odoo options (user 'admin', password 'admin')",
        )
        .unwrap();
        Spi::run("select ipai.odoo_version('odoo')").unwrap();
    }

    #[pg_test]
    fn every_sqlstate_is_one_that_postgres_knows() {
        for sqlstate in [
            "08001", "08006", "08P01", "28P01", "3D000", "42501", "42704", "42703", "42883", "42P01", "38000", "54000",
            "22021", "22000", "HV00D", "22023", "55P03", "55000", "57014",
        ] {
            let code = report::code(sqlstate);
            assert_ne!(code, PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, "{sqlstate}");
        }
        let busy = Error::Busy { mirror: String::new(), holder: None };
        assert_eq!(report::code(busy.sqlstate()), PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE);
    }

    #[pg_test]
    fn every_object_that_a_user_sees_has_a_comment() {
        let bare = text(
            "select string_agg(pg_describe_object(classid, objid, 0), ', ') from pg_depend d
             where refobjid = (select oid from pg_extension where extname = 'ipai_sync') and deptype = 'e'
               and classid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_foreign_data_wrapper'::regclass)
               and obj_description(objid, classid::regclass::name) is null
               and not exists (select from pg_class c where c.oid = objid and c.relkind = 'S')
               and not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                               where p.oid = objid and n.nspname = 'tests')",
        );
        assert_eq!(bare, None);
        let bare = text(
            "select string_agg(a.attrelid::regclass || '.' || a.attname, ', ') from pg_attribute a
             join pg_depend d on d.objid = a.attrelid and d.classid = 'pg_class'::regclass and deptype = 'e'
             join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'v')
             where refobjid = (select oid from pg_extension where extname = 'ipai_sync') and a.attnum > 0
               and col_description(a.attrelid, a.attnum) is null",
        );
        assert_eq!(bare, None);
    }

    #[pg_test]
    fn every_function_has_a_search_path_and_nothing_for_public() {
        let own = "from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                   join pg_depend d on d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
                   where n.nspname = 'ipai' and refobjid = (select oid from pg_extension where extname = 'ipai_sync')";
        assert!(count(&format!("select count(*) {own}")) >= 6);
        // A procedure that commits cannot carry one: it sets it by itself.
        let unset = "and prokind = 'f' and not coalesce(proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']";
        assert_eq!(text(&format!("select string_agg(proname, ', ') {own} {unset}")), None);
        let public = "and (proacl is null or exists (select from aclexplode(proacl) where grantee = 0))";
        // It reads no data, and each role that reads ipai.sync_alerts needs it.
        assert_eq!(text(&format!("select string_agg(proname, ', ') {own} {public}")).as_deref(), Some("command_hint"));
        assert_eq!(count(&format!("select count(*) {own} and prosecdef")), 0);
    }

    /// A mirror with a column of each kind, whose names need quoting.
    fn every_kind() -> Mirror {
        let fields = Kind::ALL.iter().map(|kind| FieldMap {
            field: format!("f_{kind:?}").to_lowercase(),
            column: format!("{kind:?} \"user\""),
            kind: *kind,
        });
        Mirror {
            name: "kinds".into(),
            server: Some("odoo".into()),
            target: Table { schema: "public".into(), name: "Every \"kind\"".into() },
            scope: Scope { model: "x.kinds".into(), domain: Vec::new(), lang: None, company_ids: Vec::new() },
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
        }
    }

    fn moment(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap()
    }

    fn packed(cell: impl AsRef<[u8]>) -> Packed {
        [Some(cell), None].into_iter().collect()
    }

    /// The first cell in both rows.
    fn twice(cells: Packed) -> Packed {
        let first = cells.iter().next().flatten();
        [first, first].into_iter().collect()
    }

    /// A row of values and a row of nulls.
    fn page() -> Page {
        Page {
            ids: vec![1, 2],
            columns: vec![
                Column::Text(packed("a\r\n'\"\\ \u{1F680} \u{FFFE}")),
                Column::Integer(vec![Some(i32::MIN), None]),
                Column::Bigint(vec![Some(i64::MAX), None]),
                Column::Double(vec![Some(f64::NAN), None]),
                Column::Numeric(packed("1.25e-7")),
                Column::Boolean(vec![Some(true), None]),
                Column::Date(vec![NaiveDate::from_ymd_opt(1, 1, 1), None]),
                Column::Timestamptz(vec![Some(moment("9999-12-31 23:59:59")), None]),
                Column::BigintArray(packed("{3,5}")),
                Column::Jsonb(packed(r#"{"a": [1, null]}"#)),
                Column::Bytea(packed([0, 255])),
            ],
            newest: None,
        }
    }

    /// Creates the table, and returns its oid.
    fn table(mirror: &Mirror) -> i64 {
        let columns: Vec<String> = mirror
            .fields
            .iter()
            .map(|map| format!("{} {}", ipai_mirror::store::statements::quote_ident(&map.column), map.kind.sql()))
            .collect();
        let table = ipai_mirror::store::statements::qualified(&mirror.target);
        Spi::run(&format!("create table {table} (odoo_id bigint unique, {})", columns.join(", "))).unwrap();
        count(&format!("select '{table}'::regclass::oid::bigint"))
    }

    #[pg_test]
    fn each_kind_of_value_arrives_and_is_then_unchanged() {
        let mirror = every_kind();
        let table = table(&mirror);
        let page = page();
        let (mut one, mut other) = (SpiSession::of_function().unwrap(), SpiSession::of_function().unwrap());
        let mut dry = TableSink::new(&mut one, &mirror, table, None);
        let mut sink = TableSink::new(&mut other, &mirror, table, Some(1));
        let two_new = Written { inserted: 2, ..Written::default() };
        assert_eq!(dry.write(&page), Ok(two_new));
        assert_eq!(dry.tally().map(|tally| tally.total), Ok(0));
        assert_eq!(sink.write(&page), Ok(two_new));
        assert_eq!(sink.write(&page), Ok(Written::default()));
        assert_eq!(dry.write(&page), Ok(Written::default()));
        Spi::run("set time zone 'Asia/Manila'").unwrap();
        let row = text(
            r#"select concat_ws('|', "Text ""user""", "Integer ""user""", "Bigint ""user""", "Double ""user""",
                      "Numeric ""user""", "Boolean ""user""", "Date ""user""", "Timestamptz ""user""" at time zone 'UTC',
                      "BigintArray ""user""", "Jsonb ""user""", "Bytea ""user""")
               from public."Every ""kind""" where odoo_id = 1"#,
        );
        let expected = "a\r\n'\"\\ \u{1F680} \u{FFFE}|-2147483648|9223372036854775807|NaN|0.000000125|t|0001-01-01|\
                        9999-12-31 23:59:59|{3,5}|{\"a\": [1, null]}|\\x00ff";
        assert_eq!(row.as_deref(), Some(expected));
        let nulls = count(
            r#"select count(*) from public."Every ""kind""" k, jsonb_each(to_jsonb(k)) where odoo_id = 2 and value = 'null'"#,
        );
        assert_eq!(nulls, 11);
    }

    #[pg_test]
    fn one_changed_value_of_any_kind_is_an_update_of_one_row() {
        let mirror = every_kind();
        let table = table(&mirror);
        let mut session = SpiSession::of_function().unwrap();
        let mut sink = TableSink::new(&mut session, &mirror, table, Some(1));
        for index in 0..mirror.fields.len() {
            sink.write(&page()).unwrap();
            let mut changed = page();
            // The second row is all null: give it the value of the first.
            let filled = page().columns.swap_remove(index);
            changed.columns[index] = match filled {
                Column::Text(cells) => Column::Text(twice(cells)),
                Column::Integer(cells) => Column::Integer(vec![cells[0], cells[0]]),
                Column::Bigint(cells) => Column::Bigint(vec![cells[0], cells[0]]),
                Column::Double(cells) => Column::Double(vec![cells[0], cells[0]]),
                Column::Numeric(cells) => Column::Numeric(twice(cells)),
                Column::Boolean(cells) => Column::Boolean(vec![cells[0], cells[0]]),
                Column::Date(cells) => Column::Date(vec![cells[0], cells[0]]),
                Column::Timestamptz(cells) => Column::Timestamptz(vec![cells[0], cells[0]]),
                Column::BigintArray(cells) => Column::BigintArray(twice(cells)),
                Column::Jsonb(cells) => Column::Jsonb(twice(cells)),
                Column::Bytea(cells) => Column::Bytea(twice(cells)),
            };
            let one_updated = Written { updated: 1, ..Written::default() };
            assert_eq!(sink.write(&changed), Ok(one_updated), "{:?}", mirror.fields[index].kind);
        }
    }

    #[pg_test]
    fn ids_and_digests_are_of_the_mirror_rows() {
        let mirror = every_kind();
        let table = table(&mirror);
        Spi::run(r#"insert into "Every ""kind""" (odoo_id) select generate_series(1, 10)"#).unwrap();
        let mut session = SpiSession::of_function().unwrap();
        let mut sink = TableSink::new(&mut session, &mirror, table, Some(1));
        let window = IdRange { after: 2, upto: 8 };
        assert_eq!(sink.ids(window), Ok(vec![3, 4, 5, 6, 7, 8]));
        let digests = sink.digest().unwrap().unwrap();
        assert_eq!(digests.bounds, [0, 10, 2_147_483_647]);
        let sums = digests.digests.iter().map(|digest| (digest.count, digest.sum, digest.squares));
        assert_eq!(sums.collect::<Vec<_>>(), [(10, 55, 385), (0, 0, 0)]);
        assert_eq!(sink.delete(&[5, 99]), Ok(1));
        assert_eq!(sink.tally().map(|tally| tally.total), Ok(9));
    }

    #[pg_test]
    fn recorded_answers_become_rows() {
        Spi::run(MIGRATION).unwrap();
        // What a run asks for: the login, the addon, the company, the fields, the total, a page, an
        // empty page, again because records lack, and together the counts of all, active and
        // flagged records. They are of another time, so the run asks for all ids, an empty list,
        // and both flags again.
        let odoo = Recorded::start(vec![
            include_str!("../tests/corpus/odoo19/authenticate_ok.xml"),
            include_str!("../tests/corpus/odoo19/fault_missing_model.xml"),
            include_str!("../tests/corpus/odoo19/fault_missing_record_read.xml"),
            include_str!("../tests/corpus/odoo19/fields_get.xml"),
            include_str!("../tests/corpus/odoo19/search_count.xml"),
            include_str!("../tests/corpus/odoo19/search_read_100.xml"),
            include_str!("../tests/corpus/odoo19/search_read_empty.xml"),
            include_str!("../tests/corpus/odoo19/search_read_empty.xml"),
            include_str!("../tests/corpus/odoo19/search_count.xml"),
            include_str!("../tests/corpus/odoo19/search_count.xml"),
            include_str!("../tests/corpus/odoo19/search_count.xml"),
            include_str!("../tests/corpus/odoo19/search_ids_100.xml"),
            include_str!("../tests/corpus/odoo19/search_read_empty.xml"),
            include_str!("../tests/corpus/odoo19/archived_active_test_false.xml"),
            include_str!("../tests/corpus/odoo19/archived_default_context.xml"),
        ]);
        server(&odoo.url);
        let report = text(
            "select concat_ws(' ', fetched, inserted, updated, deleted, odoo_count, mirror_count, delta)
             from ipai.sync_sample_metrics()",
        );
        assert_eq!(report.as_deref(), Some("100 100 0 0 100 100 0"));
        assert_eq!(count("select odoo_id from ipai.ipai_sample_metrics order by odoo_id limit 1"), 1);
        assert_eq!(count("select uid from ipai.odoo_logins where login = 'admin'"), 2);
        assert_eq!(count("select count(*) from ipai.sync_runs where state = 'succeeded'"), 1);
        let requests = odoo.requests();
        assert_eq!(requests.len(), 15);
        assert!(requests[5].contains("search_read") && requests[4].contains("active_test"));
    }

    #[pg_test(error = "run_sync cannot run inside a transaction")]
    fn run_sync_refuses_a_transaction() {
        Spi::run("call ipai.run_sync('sample_metrics')").unwrap();
    }

    #[pg_test]
    fn a_failed_subtransaction_leaves_the_transaction_and_the_whole_error() {
        Spi::run("create table public.kept (n integer check (n < 2)); insert into public.kept values (1)").unwrap();
        let error = subtransaction::within(|| -> Result<(), Error> {
            Spi::run("insert into public.kept values (0)").unwrap();
            Spi::run(
                "do $$ begin raise exception 'no' using errcode = '55P03', detail = 'facts', hint = 'next'; end $$",
            )
            .unwrap();
            Ok(())
        });
        let expected = Error::Postgres(Box::new(ipai_odoo::error::PostgresError {
            sqlstate: "55P03".into(),
            message: "no".into(),
            detail: Some("facts".into()),
            hint: Some("next".into()),
            constraint: None,
            timed_out: false,
        }));
        assert_eq!(error, Err(expected));
        // A SQLSTATE of a trigger's own, and the name of a constraint.
        let raised = subtransaction::within(|| -> Result<(), Error> {
            Spi::run("do $$ begin raise exception 'no' using errcode = 'P0042', constraint = 'mine'; end $$").unwrap();
            Ok(())
        });
        let raised = raised.unwrap_err();
        assert_eq!((raised.sqlstate(), raised.constraint()), ("P0042", Some("mine")));
        let refused = subtransaction::within(|| -> Result<(), Error> {
            Spi::run("insert into public.kept values (0)").unwrap();
            Err(Error::ClientGone)
        });
        assert_eq!(refused, Err(Error::ClientGone));
        subtransaction::within(|| {
            Spi::run("insert into public.kept values (-1)").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(text("select string_agg(n::text, ' ' order by n) from public.kept").as_deref(), Some("-1 1"));
    }

    #[pg_test(error = "canceling statement due to user request")]
    fn a_cancel_ends_the_wait_for_odoo() {
        Spi::run(MIGRATION).unwrap();
        server(&Recorded::cancelling());
        Spi::run("select * from ipai.sync_sample_metrics()").unwrap();
    }

    #[pg_test(error = "Odoo authentication failed")]
    fn a_refused_password_is_told() {
        let odoo = Recorded::start(vec![include_str!("../tests/corpus/odoo18/authenticate_wrong_password.xml")]);
        Spi::run(MIGRATION).unwrap();
        server(&odoo.url);
        Spi::run("select * from ipai.sync_sample_metrics()").unwrap();
    }
}

/// An HTTP server that gives recorded answers one after the other.
#[allow(clippy::unwrap_used)]
mod recorded {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    pub struct Recorded {
        pub url: String,
        requests: Arc<Mutex<Vec<String>>>,
    }

    impl Recorded {
        pub fn start(answers: Vec<&'static str>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&requests);
            // It ends with the last answer.
            ipai_mirror::source::with_signals_blocked(|| {
                std::thread::spawn(move || {
                    for answer in answers {
                        let (mut stream, _) = listener.accept().unwrap();
                        seen.lock().unwrap().push(read_request(&mut stream));
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            answer.len()
                        );
                        stream.write_all(head.as_bytes()).unwrap();
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                })
            });
            Recorded { url, requests }
        }

        /// A server that never answers. It cancels the backend's statement once a request is there.
        /// Returns its URL.
        pub fn cancelling() -> String {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            ipai_mirror::source::with_signals_blocked(|| {
                std::thread::spawn(move || {
                    let (mut stream, _) = listener.accept().unwrap();
                    read_request(&mut stream);
                    // SAFETY: sends a signal to this process, which is the backend. This thread
                    // blocks it.
                    unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
                    // Until the backend hangs up.
                    stream.read_to_end(&mut Vec::new()).unwrap();
                })
            });
            url
        }

        pub fn requests(&self) -> Vec<String> {
            self.requests.lock().unwrap().clone()
        }
    }

    fn read_request(stream: &mut impl Read) -> String {
        let mut request = String::new();
        let mut buffer = [0; 4096];
        while !request.ends_with("</methodCall>") && !request.ends_with("</methodCall>\n") {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                read => request.push_str(&String::from_utf8_lossy(&buffer[..read])),
            }
        }
        request
    }
}
