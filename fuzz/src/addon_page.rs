//! Fuzzes pages of the addon: arbitrary text in a valid envelope, or arbitrary bytes instead.

use super::{check_error, check_page, client, mirror};
use base64::prelude::{BASE64_STANDARD, Engine};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use ipai_mirror::PageBuilder;
use ipai_odoo::domain::after;
use std::io::Write;

/// Decodes the input as a page of the addon.
pub fn run(data: &[u8]) {
    let Some((how, text)) = data.split_first() else {
        return;
    };
    let page = match how % 8 {
        0 => String::from_utf8_lossy(text).into_owned(),
        1 => BASE64_STANDARD.encode(text),
        _ => {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(text).unwrap();
            BASE64_STANDARD.encode(zlib.finish().unwrap())
        }
    };
    let page = page.replace('&', "&amp;").replace('<', "&lt;");
    let body = format!(
        "<?xml version='1.0'?><methodResponse><params><param><value><string>{page}</string></value></param></params></methodResponse>"
    );
    let mirror = mirror(false);
    let fields: Vec<String> = mirror.fields.iter().map(|map| map.field.clone()).collect();
    let page = PageBuilder::new(&mirror, 0, 1_000);
    match client(body.into_bytes()).export(&mirror.scope, &fields, [after(0)], 1_000, page) {
        Ok(page) => check_page(&page.finish()),
        Err(error) => check_error(&error),
    }
}
