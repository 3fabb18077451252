use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use diogenes_core::keys::{Keys, NewKey, PlainKey, Scope, Weight};
use diogenes_core::ports::Limits;
use diogenes_core::tenancy::{Allowed, ProjectId};

use super::secret_file::write;

/// The file in the data directory that holds the operator's key.
pub(crate) const FILE: &str = "admin.key";

/// The operator's key: read from the data directory, or issued on the first start.
pub(crate) struct AdminKey {
    pub(crate) path: PathBuf,
    pub(crate) key: String,
    pub(crate) is_new: bool,
}

/// Reads or makes the operator's key. Removing the file makes the next start issue another.
pub(crate) async fn ensure(data_dir: &Path, keys: &Keys) -> anyhow::Result<AdminKey> {
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = text.trim().to_owned();
            let checked = match key.parse::<PlainKey>() {
                Ok(plain) => keys.verify(&plain).await.map(|_| ()).map_err(anyhow::Error::from),
                Err(malformed) => Err(malformed.into()),
            };
            if let Err(error) = checked {
                tracing::warn!(
                    "the key in {} does not work: {error:#}; remove the file and restart to get another",
                    path.display()
                );
            }
            Ok(AdminKey { path, key, is_new: false })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let new = NewKey {
                project: ProjectId::default(),
                email: "admin@localhost".into(),
                name: "made by `diogenes serve`".into(),
                scopes: BTreeSet::from([Scope::Inference, Scope::Admin]),
                models: None,
                expires_at: None,
                limits: Limits::default(),
                egress: false,
                weight: Weight::default(),
            };
            let (_, plain) = keys
                .issue(&Allowed::operator(), new)
                .await
                .context("the admin key could not be issued")?;
            write(&path, plain.expose()).with_context(|| {
                format!("the admin key could not be written to {}", path.display())
            })?;
            Ok(AdminKey { path, key: plain.expose().into(), is_new: true })
        }
        Err(error) => Err(error)
            .with_context(|| format!("the admin key in {} cannot be read", path.display())),
    }
}
