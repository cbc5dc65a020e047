//! Where the next incremental run begins.

use chrono::{DateTime, NaiveDateTime, Utc};

/// The cursor after a complete run: the greatest write date seen, but never later than Odoo's own clock when the run
/// began, because a record written while the run was reading may have been passed by already. A write date in the future
/// would otherwise blind every later run. Never a local clock.
pub fn after_run(greatest_written: Option<NaiveDateTime>, began: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    Some(greatest_written?.and_utc().min(began?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Option<NaiveDateTime> {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()
    }

    #[test]
    fn it_is_the_smaller_of_the_greatest_write_date_and_the_start() {
        let (early, late) = (moment("2026-01-06 10:00:00"), moment("2026-01-06 12:00:00"));
        let utc = |moment: Option<NaiveDateTime>| moment.map(|moment| moment.and_utc());
        assert_eq!(after_run(early, utc(late)), utc(early));
        assert_eq!(after_run(late, utc(early)), utc(early));
        assert_eq!(after_run(None, utc(early)), None);
        assert_eq!(after_run(early, None), None);
    }
}
