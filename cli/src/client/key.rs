use std::io;
use std::path::Path;

use diogenes_core::secret::Secret;

use super::Address;
use crate::serve::ADMIN_KEY_FILE;

/// The key that requests carry.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// Named by flag or environment.
    Given(Secret),
    /// The operator's key of the local data directory.
    Local(Secret),
    /// None, and what to tell when the server asks for one.
    Missing(String),
}

impl Key {
    /// The key that a flag or the environment names.
    pub(crate) fn named(given: Option<&Secret>) -> Option<Self> {
        let key = given?.expose().trim();
        (!key.is_empty()).then(|| Self::Given(Secret::new(key)))
    }

    /// For a server on this machine, the key that `serve` has left in its data directory. It opens
    /// everything, so no other machine gets it.
    pub(crate) fn of_data_dir(address: &Address, data_dir: &Path) -> Self {
        let name_one = "set one with --api-key or DIOGENES_API_KEY";
        let path = data_dir.join(ADMIN_KEY_FILE);
        if !address.is_loopback() {
            return Self::Missing(format!(
                "no API key is set for {address}; {name_one} (the key in {} is only sent to this machine)",
                path.display()
            ));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Self::Local(Secret::new(text.trim())),
            Ok(_) => Self::Missing(format!("the key file {} is empty; {name_one}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing(format!(
                "no API key is set and {} does not exist; {name_one}, or name the data directory of `diogenes serve` with --data-dir",
                path.display()
            )),
            Err(error) => Self::Missing(format!(
                "no API key is set and {} cannot be read ({error}); {name_one}",
                path.display()
            )),
        }
    }

    /// The key, if there is one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Given(key) | Self::Local(key) => Some(key),
            Self::Missing(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(given: Option<&str>, url: &str, data_dir: &Path) -> Key {
        let named = Key::named(given.map(Secret::new).as_ref());
        named.unwrap_or_else(|| Key::of_data_dir(&url.parse().expect("a URL"), data_dir))
    }

    #[test]
    fn the_local_key_stays_on_this_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join(ADMIN_KEY_FILE), "dg_local\n").expect("written");
        let local = find(None, "http://127.0.0.1:8080", dir.path());
        assert_eq!(local.secret().map(Secret::expose), Some("dg_local"));
        assert!(matches!(find(None, "https://example.com", dir.path()), Key::Missing(_)));
        let named = find(Some("dg_x"), "https://example.com", dir.path());
        assert_eq!(named.secret().map(Secret::expose), Some("dg_x"));
    }

    #[test]
    fn an_empty_variable_is_ignored() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(matches!(find(Some(" "), "http://localhost", dir.path()), Key::Missing(_)));
    }
}
