//! Tests the settings of the file and of the environment.
#![allow(clippy::unwrap_used)]

use super::*;

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ipai-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

const ODOO: [(&str, &str); 4] = [
    ("ODOO_URL", "https://erp.example.com"),
    ("ODOO_DB", "core"),
    ("ODOO_USER", "api@example.com"),
    ("ODOO_PASSWORD", "s3cret-key"),
];

const FILE_WITH_ONE: &str = "[servers.erp]\nurl = \"https://erp.example.com\"\ndbname = \"core\"\nuser = \"api\"\n";

fn load(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Settings> {
    let folder = Folder::new(name);
    Settings::load(Some(&folder.write(FILE, text)), &environment(variables))
}

#[test]
fn environment_describes_one_server() {
    let settings = Settings::load(None, &environment(&ODOO)).unwrap();
    let (name, server) = settings.server(None, "").unwrap();
    assert_eq!((name, server.user.as_str(), server.options.dbname.as_str()), ("odoo", "api@example.com", "core"));
    assert!(matches!(&server.password, Ok(Password::Plain(secret)) if secret.reveal() == "s3cret-key"));
}

#[test]
fn environment_names_its_server() {
    let named = [&ODOO[..], &[("ODOO_SERVER", "erp")]].concat();
    let settings = Settings::load(None, &environment(&named)).unwrap();
    assert_eq!(settings.server(Some("erp"), "").unwrap().0, "erp");
    let error = settings.server(Some("other"), "").unwrap_err();
    assert_eq!(error.to_string(), "server \"other\" is not in the settings");
    assert!(error.hint().unwrap().contains("[servers.other]"));
}

#[test]
fn missing_variable_is_named_when_it_is_needed() {
    let settings = Settings::load(None, &environment(&ODOO[..3])).unwrap();
    assert_eq!(settings.server(None, "").unwrap_err().to_string(), "ODOO_PASSWORD is not set");
    assert_eq!(settings.database_url().unwrap_err().to_string(), "DATABASE_URL is not set");
}

#[test]
fn rest_api_of_supabase_is_not_enough() {
    let variables = [("SUPABASE_URL", "https://x.supabase.co"), ("SUPABASE_SERVICE_ROLE_KEY", "k3y")];
    let error = Settings::load(None, &environment(&variables)).unwrap().database_url().unwrap_err().clone();
    assert!(error.detail().unwrap().contains("REST API"));
    assert!(error.hint().unwrap().contains("Session pooler"));
    assert!(!format!("{error:?}").contains("k3y"));
}

#[test]
fn file_describes_several_servers() {
    let folder = Folder::new("several");
    folder.write("password", "from a file\n");
    let text = format!(
        "database_url_env = \"DB\"\n{FILE_WITH_ONE}password_env = \"ERP_KEY\"\ntimeout = 30\naddon = false\n\
         [servers.shop]\nurl = \"https://shop.example.com\"\ndbname = \"shop\"\nuser = \"api\"\npassword_file = \"password\"\n\
         [servers.hr]\nurl = \"https://hr.example.com\"\ndbname = \"hr\"\nuser = \"api\"\npassword_secret = \"hr_key\"\n"
    );
    let path = folder.write(FILE, &text);
    let variables = environment(&[("DB", "postgresql://localhost/x"), ("ERP_KEY", "from the environment")]);
    let settings = Settings::load(Some(&path), &variables).unwrap();
    assert_eq!(settings.database_url().unwrap().reveal(), "postgresql://localhost/x");
    assert_eq!(settings.server_names().unwrap(), ["erp", "hr", "shop"]);
    let server = |name| settings.server(Some(name), "").unwrap().1;
    assert!(
        matches!(&server("erp").password, Ok(Password::Plain(secret)) if secret.reveal() == "from the environment")
    );
    assert!(matches!(&server("shop").password, Ok(Password::Plain(secret)) if secret.reveal() == "from a file"));
    assert!(matches!(&server("hr").password, Ok(Password::Vault(name)) if name == "hr_key"));
    assert_eq!((server("erp").options.endpoint.timeout.as_secs(), server("erp").options.addon), (30, false));
    let error = settings.server(None, "Name one.").unwrap_err();
    assert_eq!(error.to_string(), "there are several Odoo servers: erp, hr, shop");
}

#[test]
fn unknown_key_names_the_nearest_valid_one() {
    let text = format!("{FILE_WITH_ONE}pasword_env = \"X\"\n");
    let error = load("unknown", &text, &[]).unwrap_err();
    assert_eq!(error.to_string(), "unknown key \"pasword_env\" in [servers.erp]");
    assert!(error.hint().unwrap().starts_with("Perhaps you mean password_env. "), "{error:?}");
    let error = load("unknown-top", "server = 1\n", &[]).unwrap_err();
    assert!(error.hint().unwrap().starts_with("Perhaps you mean servers. "), "{error:?}");
}

#[test]
fn plain_password_in_the_file_is_refused_and_not_shown() {
    let error = load("plain", &format!("{FILE_WITH_ONE}password = \"s3cret-key\"\n"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "unknown key \"password\" in [servers.erp]");
    assert!(!format!("{error:?}").contains("s3cret-key"));
}

#[test]
fn password_needs_exactly_one_place() {
    for text in ["", "password_env = \"A\"\npassword_file = \"b\"\n"] {
        let error = load("places", &format!("{FILE_WITH_ONE}{text}"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "[servers.erp] needs exactly one place of the password");
    }
}

#[test]
fn invalid_toml_is_named_without_its_text() {
    let error = load("toml", "[servers.erp]\nurl = \"x\"\nuser = s3cret-key\n", &[]).unwrap_err();
    assert!(error.to_string().contains("line 3"), "{error}");
    assert!(!format!("{error:?}").contains("s3cret-key"));
}

#[test]
fn file_that_everyone_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("shared");
    let path = folder.write(FILE, FILE_WITH_ONE);
    assert_eq!(require_own(&path), Ok(()));
    for (place, mode) in [(&path, 0o666), (&folder.0, 0o1777)] {
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
        let error = require_own(&path).unwrap_err();
        assert_eq!((error.sqlstate(), error.hint().is_some()), ("42501", true));
        fs::set_permissions(place, fs::Permissions::from_mode(mode & !0o002)).unwrap();
    }
    assert_eq!(require_own(&path), Ok(()));
}

#[test]
fn settings_are_printed_without_passwords() {
    let variables = [&ODOO[..], &[("DATABASE_URL", "postgresql://u:s3cret-pw@localhost/x")]].concat();
    let printed = format!("{:?}", Settings::load(None, &environment(&variables)).unwrap());
    assert!(!printed.contains("s3cret"), "{printed}");
}
