//! Reading the configuration file, or a part of it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::lines::line_of;
use crate::wording::plain;

/// The file that is read when `--config` names no other.
pub(crate) const DEFAULT_FILE: &str = "diogenes.toml";

/// Some settings of the file that `serve` would read, and its path and text; `None` without a file.
pub(crate) fn head_of<T: DeserializeOwned>(
    named: Option<&Path>,
    next: &str,
) -> anyhow::Result<Option<(PathBuf, String, T)>> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    if named.is_none() && !path.exists() {
        return Ok(None);
    }
    let text = text_of(path)?;
    let head = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        anyhow::anyhow!("{}:{line}: {}; {next}", path.display(), plain(error.message()))
    })?;
    Ok(Some((path.to_owned(), text, head)))
}

pub(crate) fn text_of(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| {
        format!(
            "the configuration `{}` cannot be read; check the path given with --config",
            path.display()
        )
    })
}
