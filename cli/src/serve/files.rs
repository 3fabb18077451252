use diogenes_core::batches::FILE_QUOTA;
use diogenes_core::byte_size;
use serde::Deserialize;

/// `[files]` of `diogenes.toml`: how much of the disk the files of callers may take.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilesConfig {
    /// How many bytes the files of a project may have in all.
    #[serde(deserialize_with = "byte_size::deserialize")]
    pub(crate) max_bytes_per_project: u64,
    /// How many bytes of the disk no file may take: whatever else is kept there needs some.
    #[serde(deserialize_with = "byte_size::deserialize")]
    pub(crate) keep_free: u64,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self { max_bytes_per_project: FILE_QUOTA, keep_free: 1 << 30 }
    }
}
