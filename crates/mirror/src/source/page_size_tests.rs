use super::*;

const QUICK: Duration = Duration::from_millis(1);

#[test]
fn pages_grow_to_the_target_size() {
    let mut size = PageSize::new(20_000);
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(size.rows);
        size.adapt(size.rows as usize * 1_250, QUICK);
    }
    assert_eq!(asked, [5_000, 8_000, 8_000, 8_000]);
}

#[test]
fn small_and_filtered_records_come_in_the_largest_pages() {
    let mut size = PageSize::new(20_000);
    for _ in 0..3 {
        size.adapt(1_000, QUICK);
    }
    assert_eq!(size.rows, 20_000);
    assert_eq!(PageSize::new(300).rows, 300);
}

#[test]
fn slow_answers_shrink_the_page() {
    let mut size = PageSize::new(20_000);
    size.adapt(1_000, Duration::from_secs(50));
    assert_eq!(size.rows, 500);
    size.adapt(1_000, Duration::from_secs(5_000));
    assert_eq!(size.rows, 1);
    size.adapt(1_000, QUICK);
    assert_eq!(size.rows, 4);
    assert!(size.maximize());
    assert_eq!(size.rows, 20_000);
    assert!(!size.maximize());
}

#[test]
fn page_over_the_limit_is_halved_down_to_one_record() {
    let mut size = PageSize::new(5);
    let mut asked = vec![size.rows];
    while size.shrink() {
        asked.push(size.rows);
    }
    assert_eq!(asked, [5, 2, 1]);
}
