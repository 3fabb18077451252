//! The secrets that an inference server's environment refers to.

use std::collections::BTreeMap;
use std::env::VarError;
use std::fs::File;
use std::io::{self, Read as _};

use async_trait::async_trait;
use diogenes_core::fleet::{Engine, Secrets};
use diogenes_core::ports::SecretSource;
use diogenes_core::secret::{Secret, SecretRef};

/// The longest secret that is read from a file, in bytes: what Linux takes as one variable, and
/// no more memory than that.
const LONGEST: u64 = 128 * 1024;

/// A secret that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its variable `{variable}` comes from {reference}, which {problem}")]
pub struct Unread {
    /// The variable that needs it.
    pub variable: String,
    /// Where it should be.
    pub reference: SecretRef,
    /// What is wrong there.
    pub problem: String,
}

/// Reads the secrets of `engine` on this machine. `parameters` are the SSM parameters that were
/// read for it, by name, or what is wrong with each.
pub fn read(
    engine: &Engine,
    parameters: &BTreeMap<String, Result<Secret, String>>,
) -> Result<Secrets, Unread> {
    let read = |(variable, reference): (&str, &SecretRef)| {
        let secret = find(reference, parameters).map_err(|problem| Unread {
            variable: variable.to_owned(),
            reference: reference.clone(),
            problem,
        })?;
        Ok((reference.clone(), secret))
    };
    engine.references().map(read).collect()
}

/// The environment and the files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct MachineSecrets;

#[async_trait]
impl SecretSource for MachineSecrets {
    async fn read(&self, reference: &SecretRef) -> Result<Secret, String> {
        read_one(reference)
    }
}

/// Reads one secret on this machine.
///
/// # Errors
/// What is wrong with it, behind where it should be: "does not exist".
pub fn read_one(reference: &SecretRef) -> Result<Secret, String> {
    find(reference, &BTreeMap::new())
}

fn find(
    reference: &SecretRef,
    parameters: &BTreeMap<String, Result<Secret, String>>,
) -> Result<Secret, String> {
    let secret = match reference {
        SecretRef::Env(name) => of_environment(name),
        SecretRef::File(path) => of_file(path),
        SecretRef::Ssm(name) => parameters
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err("only an instance on AWS can read".into())),
    }?;
    match secret.expose() {
        "" => Err("is empty".into()),
        text if text.contains('\0') => Err("contains a NUL byte".into()),
        _ => Ok(secret),
    }
}

fn of_environment(name: &str) -> Result<Secret, String> {
    match std::env::var(name) {
        Ok(text) => Ok(Secret::new(text)),
        Err(VarError::NotPresent) => Err("is not set".into()),
        Err(VarError::NotUnicode(_)) => Err("is not valid UTF-8".into()),
    }
}

fn of_file(path: &str) -> Result<Secret, String> {
    // A pipe would be waited for.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err("is not a regular file".into());
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > LONGEST => Err(format!("is longer than {LONGEST} bytes")),
        Ok(_) => {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("does not exist".into()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(reference: SecretRef) -> Engine {
        let mut spec = diogenes_core::fleet::ModelSpec::new(["vllm"]);
        spec.env.insert("TOKEN".into(), reference.into());
        spec.engine()
    }

    fn local(reference: &SecretRef) -> Result<String, String> {
        let secrets = read(&engine(reference.clone()), &BTreeMap::new())
            .map_err(|error| error.to_string())?;
        Ok(secrets[reference].expose().to_owned())
    }

    #[test]
    fn a_file_is_read_without_its_last_line_feed() {
        let dir = tempfile::tempdir().unwrap();
        for (text, secret) in [("a b\n", "a b"), ("a\r\n", "a"), ("a\nb\n\n", "a\nb\n"), ("a", "a")]
        {
            let path = dir.path().join("token");
            std::fs::write(&path, text).unwrap();
            let read = local(&SecretRef::File(path.to_str().unwrap().into()));
            assert_eq!(read, Ok(secret.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("empty"), "\n").unwrap();
        std::fs::write(path("nul"), "a\0b").unwrap();
        std::fs::write(path("long"), "a".repeat(129 << 10)).unwrap();
        for (reference, problem) in [
            (SecretRef::Env("DIOGENES_TEST_NOT_SET".into()), "is not set"),
            (SecretRef::File(path("none")), "does not exist"),
            (SecretRef::File(path("")), "is not a regular file"),
            (SecretRef::File(path("empty")), "is empty"),
            (SecretRef::File(path("nul")), "contains a NUL byte"),
            (SecretRef::File(path("long")), "is longer than 131072 bytes"),
            (SecretRef::Ssm("/a/b".into()), "only an instance on AWS can read"),
        ] {
            let message = format!("its variable `TOKEN` comes from {reference}, which {problem}");
            assert_eq!(local(&reference), Err(message));
        }
    }
}
