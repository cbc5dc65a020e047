use super::*;

#[test]
fn cells_survive_a_round_trip() {
    let cells = [Some("a"), None, Some(""), Some("\u{1F680}b")];
    let packed: Packed = cells.into_iter().collect();
    let back: Vec<_> = packed.iter().map(|cell| cell.and_then(|cell| std::str::from_utf8(cell).ok())).collect();
    assert_eq!(back, cells);
    assert_eq!((packed.len(), packed.is_empty()), (4, false));
    assert_ne!(packed, [Some("a"), Some(""), Some(""), Some("\u{1F680}b")].into_iter().collect());
}
