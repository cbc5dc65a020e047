use super::*;

const QUICK: Duration = Duration::from_millis(1);

fn new(most: u32) -> PageSize {
    PageSize::new(most, false, None)
}

/// Adapts to a full page of small records.
fn succeed(size: &mut PageSize) {
    size.adapt(size.rows, size.rows, 1_000, QUICK);
}

#[test]
fn pages_grow_to_the_target_size() {
    let mut size = new(20_000);
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(size.rows);
        size.adapt(size.rows, size.rows, size.rows as usize * 1_250, QUICK);
    }
    assert_eq!(asked, [5_000, 8_000, 8_000, 8_000]);
}

#[test]
fn small_and_filtered_records_come_in_the_largest_pages() {
    let mut size = new(20_000);
    for _ in 0..3 {
        size.adapt(size.rows, 0, 1_000, QUICK);
    }
    assert_eq!(size.rows, 20_000);
    assert_eq!(new(300).rows, 300);
}

#[test]
fn slow_answers_shrink_the_page() {
    let mut size = new(20_000);
    size.adapt(5_000, 5_000, 1_000, Duration::from_secs(50));
    assert_eq!(size.rows, 500);
    size.adapt(500, 500, 1_000, Duration::from_secs(5_000));
    assert_eq!(size.rows, 1);
    succeed(&mut size);
    assert_eq!(size.rows, 4);
    assert!(size.maximize());
    assert_eq!(size.rows, 20_000);
    assert!(!size.maximize());
}

#[test]
fn failed_page_is_halved_down_to_one_record() {
    let mut size = new(5);
    let mut asked = vec![size.rows];
    while size.shrink(size.rows, QUICK, true) {
        asked.push(size.rows);
    }
    assert_eq!(asked, [5, 2, 1]);
}

#[test]
fn page_that_failed_slowly_shrinks_by_its_time() {
    let mut size = new(20_000);
    let mut asked = vec![size.rows];
    while size.shrink(size.rows, Duration::from_secs(120), true) {
        asked.push(size.rows);
    }
    assert_eq!(asked, [5_000, 208, 8, 1]);
}

#[test]
fn pages_grow_slowly_after_a_failure() {
    let mut size = new(20_000);
    assert!(size.shrink(5_000, QUICK, true));
    let mut asked = Vec::new();
    for _ in 0..18 {
        asked.push(size.rows);
        succeed(&mut size);
    }
    // Eight times the failed size comes in pages of half that size.
    assert_eq!(asked, [[2_500; 16].as_slice(), &[5_000, 20_000]].concat());
}

#[test]
fn size_that_worked_is_remembered_until_a_first_page_works() {
    let mut size = new(20_000);
    assert_eq!(size.safe, None);
    size.shrink(5_000, QUICK, true);
    size.shrink(2_500, QUICK, true);
    assert_eq!(size.safe, Some(1_250));
    let mut next = PageSize::new(20_000, false, size.safe);
    assert_eq!(next.rows, 1_250);
    // A short page proves nothing.
    next.adapt(1_250, 3, 1_000, QUICK);
    assert_eq!((next.rows, next.safe), (2_500, Some(1_250)));
    next.adapt(2_500, 3, 1_000, QUICK);
    assert_eq!((next.rows, next.safe), (5_000, Some(1_250)));
    next.rows = 2_500;
    succeed(&mut next);
    assert_eq!((next.rows, next.safe), (5_000, Some(2_500)));
    succeed(&mut next);
    assert_eq!(next.safe, None);
}

#[test]
fn first_page_is_small_if_the_mirror_has_files() {
    assert_eq!(PageSize::new(20_000, true, None).rows, 50);
    assert_eq!(PageSize::new(20, true, None).rows, 20);
}

#[test]
fn size_is_not_remembered_if_it_is_not_the_cause() {
    let mut size = new(20_000);
    assert!(size.shrink(5_000, QUICK, false));
    assert_eq!((size.rows, size.safe), (2_500, None));
}
