use std::io;
use std::path::Path;

use anyhow::Context;
use diogenes_backends::system::OsEntropy;
use diogenes_core::hex;
use diogenes_core::ports::Entropy as _;
use diogenes_core::secret::Secret;

use super::secret_file;

/// The file in the data directory that holds what the secrets of webhooks are derived from.
const FILE: &str = "webhook.key";
/// The least that such a secret has, in characters.
const LEAST: usize = 32;

/// Reads it, or makes it on the first start. Removing the file gives every project another secret.
pub(super) fn ensure(data_dir: &Path) -> anyhow::Result<Secret> {
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= LEAST => Ok(Secret::new(text.trim())),
        Ok(_) => anyhow::bail!(
            "{} has fewer than {LEAST} characters; remove it to get another",
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = [0; 32];
            OsEntropy.fill(&mut random);
            let text = hex(&random);
            secret_file::write(&path, &text)
                .with_context(|| format!("{} could not be written", path.display()))?;
            Ok(Secret::new(text))
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}
