//! Fuzzes faults of Odoo, which must become errors that can be shown to users.
//!
//! The input is the code and the text of a fault, or a whole body.

use super::{PASSWORD, check_error, client};
use ipai_odoo::Call;

/// Reads the input as a fault of Odoo.
pub fn run(data: &[u8]) {
    let Some((how, text)) = data.split_first() else {
        return;
    };
    let body = match how % 8 {
        0 => text.to_vec(),
        how => {
            let text = String::from_utf8_lossy(text).replace("PASSWORD", PASSWORD);
            let text: String = text.chars().filter(|c| *c != '\0').collect();
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let code = match how {
                1..=5 => format!("<int>{how}</int>"),
                _ => format!("<string>{text}</string>"),
            };
            format!(
                "<?xml version='1.0'?><methodResponse><fault><value><struct>\
                 <member><name>faultCode</name><value>{code}</value></member>\
                 <member><name>faultString</name><value><string>{text}</string></value></member>\
                 </struct></value></fault></methodResponse>"
            )
            .into_bytes()
        }
    };
    if let Err(error) = client(body).call(&Call::for_page("a.model", "search_read")) {
        check_error(&error);
    }
}
