//! The environment of the process, and the file `.env` in the current folder.

use ipai_mirror::refusal::refused;
use ipai_odoo::error::{Error, Result, SqlState};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Refuses a file that the program found by itself, if every user of the machine may have written
/// it: it decides where passwords are sent.
pub fn require_own(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for place in [path, folder] {
        let mode = std::fs::metadata(place).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o002 != 0) {
            return Err(refused(
                SqlState::InsufficientPrivilege,
                format!("every user of this machine may write {}", place.display()),
                format!("Start the program in another folder, or run: chmod o-w {}", place.display()),
            )
            .with_detail(format!(
                "The program would read {}, which decides where passwords are sent.",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Variables by name. The process's own win over those of the file.
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// Reads the file `.env` in `folder` if there is one. Its values go to no other process.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(".env");
        let mut variables = HashMap::new();
        if path.is_file() {
            require_own(&path)?;
            // The errors of the parser quote the line, which may hold a password.
            let unreadable = || {
                Error::user(SqlState::InvalidParameter, format!("{} cannot be read", path.display()))
                    .with_hint("Each line has the form NAME=value; quote values with spaces or #: NAME='a value'.")
            };
            for variable in dotenvy::from_path_iter(&path).map_err(|_| unreadable())? {
                let (name, value) = variable.map_err(|_| unreadable())?;
                variables.insert(name, value);
            }
        }
        variables.extend(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Ok(Environment(variables))
    }

    /// These variables.
    #[cfg(test)]
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Environment(variables.into_iter().collect())
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
