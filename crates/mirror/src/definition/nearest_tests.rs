use super::nearest;

#[test]
fn most_similar_names_come_first() {
    let names = ["name", "email", "phone", "parent_id", "partner_share"];
    assert_eq!(nearest("emial", names), ["email"]);
    assert_eq!(nearest("parner_id", names), ["parent_id", "partner_share"]);
    assert_eq!(nearest("share", names), ["partner_share"]);
    assert_eq!(nearest("zzz", names), [""; 0]);
    assert_eq!(nearest("", names), [""; 0]);
}
