//! Measures the decoder, from bytes to typed columns, and compares it with the bare XML reader.
//!
//! The figures are processor time, which does not depend on the machine's load. `scripts/bench`
//! adds Python's xmlrpc.client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ipai_mirror::{FieldMap, Kind, Mirror, Page, PageBuilder, Table};
use ipai_odoo::Scope;
use ipai_odoo::value::Limits;
use ipai_odoo::xmlrpc::decode_rows;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

const ROWS: usize = 5_000;
const ROW: &str = "<value><struct>";
const END: &str = "</data>";

/// Returns a page of 5,000 rows of a real Odoo 19, in the form that a sync reads.
///
/// The rows were recorded from the module's export, which names the id `odoo_id` and has another
/// order.
fn page() -> String {
    let recorded =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/odoo19/export_to_supabase_payload_5000.xml");
    let recorded = std::fs::read_to_string(recorded).unwrap();
    let recorded = recorded.replace("<name>odoo_id</name>", "<name>id</name>");
    let (begin, rest) = recorded.split_once(ROW).unwrap();
    let (rows, end) = rest.rsplit_once(END).unwrap();
    let mut rows: Vec<&str> = rows.split(ROW).collect();
    rows.sort_by_key(|row| id(row));
    format!("{begin}{ROW}{}{END}{end}", rows.join(ROW))
}

fn id(row: &str) -> i64 {
    let (_, rest) = row.split_once("<int>").unwrap();
    rest.split_once("</int>").unwrap().0.parse().unwrap()
}

/// The fields of the recorded rows.
const FIELDS: [(&str, Kind); 10] = [
    ("name", Kind::Text),
    ("code", Kind::Text),
    ("date", Kind::Date),
    ("brand_id", Kind::Bigint),
    ("store_id", Kind::Bigint),
    ("value", Kind::Double),
    ("unit", Kind::Text),
    ("is_alert", Kind::Boolean),
    ("notes", Kind::Text),
    ("active", Kind::Boolean),
];

fn field((name, kind): (&str, Kind)) -> FieldMap {
    FieldMap { field: name.to_owned(), column: name.to_owned(), kind }
}

fn mirror() -> Mirror {
    Mirror {
        name: "sample_metrics".to_owned(),
        server: Some("odoo".to_owned()),
        target: Table { schema: "ipai".to_owned(), name: "ipai_sample_metrics".to_owned() },
        scope: Scope {
            model: "ipai.sample.metric".to_owned(),
            domain: Vec::new(),
            lang: None,
            company_ids: Vec::new(),
        },
        fields: FIELDS.map(field).to_vec(),
        drift: Vec::new(),
        constants: Vec::new(),
        // The export does not contain it.
        has_write_date: false,
        page_size: 5_000,
        max_delete_ratio: 0.2,
        max_rejects: 100,
        is_partitioned: false,
        flag_field: None,
        masks: Default::default(),
        marks_deleted: false,
    }
}

fn columns(body: &[u8], mirror: &Mirror) -> Page {
    let mut page = PageBuilder::new(mirror, 0, ROWS as u64);
    decode_rows(body, &Limits::default(), &mut page).unwrap().unwrap();
    page.finish()
}

/// Reads all XML events, with the decoder's own configuration of the reader.
fn events(body: &[u8]) -> usize {
    let mut reader = Reader::from_reader(body);
    reader.config_mut().expand_empty_elements = true;
    let mut events = 0;
    while !matches!(black_box(reader.read_event().unwrap()), Event::Eof) {
        events += 1;
    }
    events
}

/// Processor time of this process.
struct ProcessorTime(WallTime);

impl ProcessorTime {
    fn now() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: clock_gettime writes only to the structure that it receives.
        let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
        assert_eq!(status, 0);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }
}

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, time: &Duration) -> f64 {
        self.0.to_f64(time)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

fn decode(criterion: &mut Criterion<ProcessorTime>) {
    let (page, mirror) = (page(), mirror());
    let body = page.as_bytes();
    assert_eq!(columns(body, &mirror).len(), ROWS);
    // scripts/bench decodes the same bytes in Python.
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("decode-page.xml"), body).unwrap();

    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("columns", |bencher| bencher.iter(|| columns(black_box(body), &mirror)));
    group.bench_function("events", |bencher| bencher.iter(|| events(black_box(body))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ProcessorTime(WallTime));
    targets = decode
}
criterion_main!(benches);
