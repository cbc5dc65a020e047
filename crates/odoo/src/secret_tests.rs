//! Tests of secrets.

use super::*;

#[test]
fn secret_is_printed_as_asterisks() {
    let secret = Secret::new("hunter2".into());
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    assert_eq!(secret.reveal(), "hunter2");
}
