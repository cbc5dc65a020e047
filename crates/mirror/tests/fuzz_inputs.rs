//! The recorded answers of real Odoo servers, the fuzzer's seeds, and damaged copies of both,
//! through every fuzz target.
#![allow(clippy::unwrap_used, clippy::panic)]

use fastrand::Rng;
use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

/// Damaged inputs for each target.
const DAMAGED: usize = 500;
/// Larger recorded answers only take time.
const LARGEST: usize = 50_000;
/// What is put into a damaged input.
const FRAGMENTS: [&[u8]; 7] = [b"<", b"</value>", b"\xff\xfe", b"\0", &[b'0'; 40], b"NaN", b"\"\\u0000"];

/// All files of a folder without an extension or with this one, in the order of their names.
fn files(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let contents = paths.into_iter().filter(|path| path.extension().is_none_or(|found| found == extension));
    contents.map(|path| fs::read(path).unwrap()).filter(|content| content.len() <= LARGEST).collect()
}

/// The recorded answers of XML-RPC. `head` goes before each: some targets read there what the rest
/// is.
fn recorded(head: &[u8]) -> Vec<Vec<u8>> {
    let answers = ["odoo18", "odoo19"].map(|version| files(&format!("../../tests/corpus/{version}"), "xml")).concat();
    answers.into_iter().map(|answer| [head, &answer].concat()).collect()
}

/// A copy of one of the inputs with some bytes replaced, inserted or removed.
fn damaged(inputs: &[Vec<u8>], chance: &mut Rng) -> Vec<u8> {
    let mut content = inputs[chance.usize(..inputs.len())].clone();
    for _ in 0..chance.usize(1..8) {
        let at = chance.usize(..=content.len());
        let end = content.len().min(at + [0, 1, 1, 30][chance.usize(..4)]);
        let byte = [chance.u8(..)];
        let fragment = match chance.usize(..=FRAGMENTS.len()) {
            0 => &byte,
            n => FRAGMENTS[n - 1],
        };
        content.splice(at..end, fragment.iter().copied());
    }
    content
}

/// Runs a target over the inputs and over damaged copies, the same ones each time. A panic names
/// the input.
fn replay(name: &str, target: fn(&[u8]), inputs: Vec<Vec<u8>>) {
    let inputs = [inputs, files(&format!("../../fuzz/seeds/{name}"), "xml")].concat();
    assert!(!inputs.is_empty());
    let mut chance = Rng::with_seed(0);
    let broken: Vec<Vec<u8>> = (0..DAMAGED).map(|_| damaged(&inputs, &mut chance)).collect();
    for input in inputs.iter().chain(&broken) {
        if std::panic::catch_unwind(|| target(input)).is_err() {
            panic!("{name} panics for {:?}", String::from_utf8_lossy(input));
        }
    }
}

#[test]
fn answers() {
    replay("answer", targets::answer::run, recorded(b""));
}

#[test]
fn faults() {
    // 0: the rest is a whole body.
    replay("fault", targets::fault::run, recorded(b"\0"));
}

#[test]
fn answers_of_json2() {
    let answers = files("../../tests/corpus/odoo19", "json");
    // An error of each status, and a result.
    let heads = 0..8_u8;
    let inputs = heads.flat_map(|head| answers.iter().map(move |answer| [&[head], answer.as_slice()].concat()));
    replay("json2", targets::json2::run, inputs.collect());
}

#[test]
fn pages_of_the_addon() {
    replay("addon_page", targets::addon_page::run, Vec::new());
}

#[test]
fn options() {
    replay("options", targets::options::run, Vec::new());
}

#[test]
fn values() {
    replay("values", targets::values::run, Vec::new());
}
