//! Tests of secrets.

use super::*;

#[test]
fn secret_is_shown_as_asterisks() {
    let secret = Secret::new("hunter2".into());
    assert_eq!(format!("{secret:?}"), "***");
    assert_eq!(secret.reveal(), "hunter2");
}
