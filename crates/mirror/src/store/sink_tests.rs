use super::*;

#[test]
fn bounds_cover_every_id_that_odoo_can_assign() {
    assert_eq!(bounds(0), Some(vec![0, GREATEST_ID]));
    assert_eq!(bounds(500), Some(vec![0, 500, GREATEST_ID]));
    assert_eq!(bounds(2_500), Some(vec![0, 1_000, 2_000, 2_500, GREATEST_ID]));
    let many = bounds(5_000_000).unwrap_or_default();
    assert_eq!((many.len(), many[1]), (1_002, 5_001));
    assert!(many.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(bounds(GREATEST_ID), None);
}
