//! Where the next incremental run begins.

use chrono::{DateTime, NaiveDateTime, Utc};

/// The cursor after a run that read every record: the greatest write date seen, but never later than Odoo's own
/// clock when the run began, because a record written while the run was reading may have been passed by already.
/// A write date in the future would otherwise blind every later run. Never a local clock.
///
/// Where Odoo does not tell its clock, the greatest write date of the first page stands for it: the run had hardly begun
/// when that was read. Later pages may hold what was written while it was reading.
pub fn after_full_run(
    greatest_written: Option<NaiveDateTime>,
    began: Option<DateTime<Utc>>,
    first_page_written: Option<NaiveDateTime>,
) -> Option<DateTime<Utc>> {
    let began = began.or(first_page_written.map(|written| written.and_utc()))?;
    Some(greatest_written?.and_utc().min(began))
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
        assert_eq!(after_full_run(early, utc(late), early), utc(early));
        assert_eq!(after_full_run(late, utc(early), late), utc(early));
        assert_eq!(after_full_run(None, utc(early), None), None);
    }

    #[test]
    fn without_a_clock_it_is_what_the_first_page_knew() {
        let (early, late) = (moment("2026-01-06 10:00:00"), moment("2026-01-06 12:00:00"));
        assert_eq!(after_full_run(late, None, early), early.map(|early| early.and_utc()));
        assert_eq!(after_full_run(late, None, None), None);
    }
}
