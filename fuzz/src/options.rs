//! Fuzzes options of foreign servers and user mappings, as lines `name=value`.

use super::{PASSWORD, check_error};
use ipai_odoo::options::{Pair, ServerOptions, UserOptions};

/// Parses the input as options of a server and of a user mapping.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let pairs: Vec<Pair> = text.lines().filter_map(pair).collect();
    match ServerOptions::parse(&pairs) {
        Ok(options) => assert!(options.endpoint.url.username().is_empty() && options.endpoint.url.password().is_none()),
        Err(error) => check_error(&error),
    }
    let secret = [("user".to_owned(), "u".to_owned()), ("password".to_owned(), PASSWORD.to_owned())];
    let with_secret: Vec<Pair> = pairs.iter().cloned().chain(secret).collect();
    for pairs in [&pairs, &with_secret] {
        match UserOptions::parse(pairs) {
            Ok(options) => assert!(!format!("{options:?}").contains(PASSWORD)),
            Err(error) => check_error(&error),
        }
    }
}
