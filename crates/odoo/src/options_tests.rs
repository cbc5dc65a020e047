//! Tests of the options of servers and user mappings.
#![allow(clippy::unwrap_used)]

use super::*;

fn pairs(options: &[(&str, &str)]) -> Vec<Pair> {
    options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn server(options: &[(&str, &str)]) -> Result<ServerOptions> {
    ServerOptions::parse(&pairs(options))
}

fn refused_url(url: &str) -> Error {
    server(&[("url", url), ("dbname", "odoo")]).unwrap_err()
}

#[test]
fn server_options_have_defaults() {
    let options = server(&[("url", "https://erp.example.com"), ("dbname", "odoo_core")]).unwrap();
    assert_eq!(options.dbname, "odoo_core");
    assert_eq!(options.endpoint.url.as_str(), "https://erp.example.com/");
    assert_eq!(options.endpoint.connect_timeout, Duration::from_secs(10));
    assert_eq!(options.endpoint.timeout, Duration::from_secs(120));
    assert!(options.endpoint.proxy.is_none());
}

#[test]
fn refusal_of_an_unknown_option_lists_the_valid_ones() {
    let error = server(&[("ulr", "https://erp.example.com")]).unwrap_err();
    assert_eq!(error.sqlstate(), "HV00D");
    let hint = error.hint().unwrap();
    assert!(SERVER_OPTIONS.iter().all(|name| hint.contains(name)), "{hint}");
}

#[test]
fn missing_and_repeated_options_are_refused() {
    for (options, name) in [
        (vec![("dbname", "odoo")], "url"),
        (vec![("url", "https://erp.example.com")], "dbname"),
        (vec![("url", "https://erp.example.com"), ("dbname", " ")], "dbname"),
    ] {
        let error = server(&options).unwrap_err();
        assert_eq!((error.sqlstate(), error.to_string()), ("22023", format!("the option {name} is missing")));
    }
    let twice = [("url", "https://erp.example.com"), ("dbname", "a"), ("dbname", "b")];
    assert_eq!(server(&twice).unwrap_err().sqlstate(), "22023");
}

#[test]
fn url_other_than_an_address_is_refused() {
    for url in [
        "erp.example.com",
        "ftp://erp.example.com",
        "https://",
        "https://erp.example.com/web/login",
        "https://erp.example.com/?db=odoo",
        "file:///etc/passwd",
        "https://-erp.example.com",
        "https://erp..example.com",
    ] {
        assert_eq!(refused_url(url).sqlstate(), "22023", "{url}");
    }
}

#[test]
fn password_in_a_url_is_refused_and_not_shown() {
    let error = refused_url("https://admin:hunter2@erp.example.com");
    assert!(!format!("{error} {:?} {:?}", error.detail(), error.hint()).contains("hunter2"));
    let proxied =
        [("url", "https://erp.example.com"), ("dbname", "odoo"), ("proxy", "http://me:hunter2@proxy.example.com:3128")];
    let error = server(&proxied).unwrap_err();
    assert!(!format!("{error} {:?} {:?}", error.detail(), error.hint()).contains("hunter2"));
}

#[test]
fn plain_http_to_other_hosts_needs_permission() {
    for local in ["http://localhost:8069", "http://LOCALHOST.:8069", "http://127.0.0.9:8069", "http://[::1]:8069"] {
        assert!(server(&[("url", local), ("dbname", "odoo")]).is_ok(), "{local}");
    }
    // A resolver may find these names elsewhere.
    for other in ["http://evil.localhost", "http://localhost.example.com", "http://128.0.0.1", "http://[::ffff:7f00:1]"]
    {
        assert!(refused_url(other).hint().unwrap().contains("allow_insecure"), "{other}");
    }
    let proxied = [("url", "http://localhost:8069"), ("dbname", "odoo"), ("proxy", "http://proxy.example.com:3128")];
    assert_eq!(server(&proxied).unwrap_err().sqlstate(), "22023");
    for other in ["http://erp.example.com", "http://evil.localhost"] {
        assert!(refused_url(other).hint().unwrap().contains("allow_insecure"), "{other}");
    }
    let mut options = vec![("url", "http://10.0.0.7:8069"), ("dbname", "odoo"), ("allow_insecure", "true")];
    assert!(server(&options).is_ok());
    options[2].1 = "maybe";
    assert_eq!(server(&options).unwrap_err().sqlstate(), "22023");
}

#[test]
fn timeouts_out_of_range_are_refused() {
    let with = |name, value| server(&[("url", "https://a.example"), ("dbname", "odoo"), (name, value)]);
    assert_eq!(with("timeout", "7").unwrap().endpoint.timeout, Duration::from_secs(7));
    for (name, value) in [("timeout", "0"), ("timeout", "3601"), ("timeout", "1m"), ("connect_timeout", "-1")] {
        assert_eq!(with(name, value).unwrap_err().sqlstate(), "22023", "{name} {value}");
    }
}

#[test]
fn path_as_certificate_is_refused() {
    let with = |pem| server(&[("url", "https://a.example"), ("dbname", "odoo"), ("ca_cert", pem)]);
    assert_eq!(with("/etc/ssl/ca.pem").unwrap_err().sqlstate(), "22023");
}

#[test]
fn user_mapping_needs_a_user_and_one_password_option() {
    let user = |options: &[(&str, &str)]| UserOptions::parse(&pairs(options));
    let plain = user(&[("user", "api"), ("password", "hunter2")]).unwrap();
    assert!(matches!(&plain.password, PasswordOption::Plain(secret) if secret.reveal() == "hunter2"));
    assert!(!format!("{plain:?}").contains("hunter2"));
    let vault = user(&[("user", "api"), ("password_secret", "odoo_api_key")]).unwrap();
    assert!(matches!(vault.password, PasswordOption::VaultSecret(name) if name == "odoo_api_key"));
    for options in [
        vec![("user", "api")],
        vec![("password", "hunter2")],
        vec![("user", "api"), ("password", "")],
        vec![("user", "api"), ("password", "hunter2"), ("password_secret", "odoo_api_key")],
    ] {
        let error = user(&options).unwrap_err();
        assert_eq!(error.sqlstate(), "22023");
        assert!(!format!("{error} {:?}", error.hint()).contains("hunter2"));
    }
}
