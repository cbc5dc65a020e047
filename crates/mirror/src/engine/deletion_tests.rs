use super::*;

#[test]
fn guard_allows_100_rows_or_a_share() {
    assert_eq!(Guard::ratio(0.2).allows(0), 100);
    assert_eq!(Guard::ratio(0.2).allows(499), 100);
    assert_eq!(Guard::ratio(0.2).allows(1_000), 200);
    assert_eq!(Guard::ratio(0.0).allows(1_000), 100);
    assert_eq!(Guard::ratio(1.0).allows(1_000), 1_000);
    assert_eq!(Guard::ratio(17.0).allows(1_000), 1_000);
    assert_eq!(Guard::ratio(f64::NAN).allows(1_000), 100);
}

#[test]
fn split_ids_leave_the_rest_of_their_range() {
    let range = |after, upto| IdRange { after, upto };
    let mut ranges = vec![range(0, 10), range(20, 30)];
    assert_eq!(split_off(&mut ranges, 5), [range(0, 5)]);
    assert_eq!(ranges, [range(5, 10), range(20, 30)]);
    assert_eq!(split_off(&mut ranges, 10), [range(5, 10)]);
    assert_eq!(ranges, [range(20, 30)]);
    assert_eq!(split_off(&mut ranges, 15), []);
    assert_eq!(split_off(&mut ranges, 30), [range(20, 30)]);
    assert_eq!(ranges, []);
}
