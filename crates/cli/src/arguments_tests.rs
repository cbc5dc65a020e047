//! Tests the arguments.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

fn run(line: &str) -> Run {
    match parse(line).unwrap().command {
        Command::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn flags_of_the_script_are_understood() {
    let arguments = parse("ipai-sync run sample_metrics --since 2026-01-06 --dry-run --verbose --limit 100").unwrap();
    assert!(arguments.verbose);
    let Command::Run(run) = arguments.command else { panic!("no run") };
    assert_eq!(run.mirrors, ["sample_metrics"]);
    assert_eq!(run.since.unwrap().to_string(), "2026-01-06 00:00:00");
    assert_eq!((run.dry_run, run.limit), (true, Some(100)));
}

#[test]
fn since_is_a_date_or_a_moment() {
    for (text, moment) in [
        ("2026-01-06", "2026-01-06 00:00:00"),
        ("2026-01-06T12:30", "2026-01-06 12:30:00"),
        ("2026-01-06T12:30:15Z", "2026-01-06 12:30:15"),
    ] {
        assert_eq!(run(&format!("ipai-sync run m --since {text}")).since.unwrap().to_string(), moment);
    }
    for text in ["yesterday", "2026-13-01", "0000-01-01", "12026-01-01"] {
        assert!(parse(&format!("ipai-sync run m --since={text}")).is_err(), "{text}");
    }
}

#[test]
fn contradicting_arguments_are_refused() {
    for line in [
        "run m --since 2026-01-06 --full",
        "run m --limit 1 --mode full",
        "run m --full --mode auto",
        "run m --limit 0",
    ] {
        assert!(parse(&format!("ipai-sync {line}")).is_err(), "{line}");
    }
}

#[test]
fn options_have_the_names_of_the_sql_functions() {
    let line = "ipai-sync alter-mirror m --server s --lang en_US --company-ids 1,2 --page-size 5 --max-delete-ratio 0.5 \
                --enabled false --max-rejects 3 --on-delete mark";
    let Command::AlterMirror { mirror, options } = parse(line).unwrap().command else { panic!("no alter-mirror") };
    assert_eq!((mirror.as_str(), options.company_ids, options.enabled), ("m", Some(vec![1, 2]), Some(false)));
    assert_eq!((options.max_delete_ratio, options.on_delete.as_deref()), (Some(0.5), Some("mark")));
}
