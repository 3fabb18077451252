use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;

/// The longest key of a blob in bytes.
pub const MAX_BLOB_KEY: usize = 512;

/// Keeps contents of any size by key: a folder, or a bucket.
///
/// A blob is whole or absent: nobody ever sees a part of one that is being written.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Puts a blob. With `only_if_absent` an existing one is left alone: [`BlobError::Exists`].
    async fn put(
        &self,
        key: &BlobKey,
        content: Vec<u8>,
        only_if_absent: bool,
    ) -> Result<(), BlobError>;

    /// Begins a blob of unknown size, which replaces an existing one once it is finished.
    async fn writer(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// The bytes of a range. What reaches beyond the end is cut off there; a range that begins
    /// there or later gives nothing.
    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Vec<u8>, BlobError>;

    /// How many bytes it has; `None` when there is none.
    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError>;

    /// The keys that begin with the segments of `prefix`, in order, and their sizes.
    async fn list(&self, prefix: &BlobKey) -> Result<Vec<(BlobKey, u64)>, BlobError>;

    /// Removes a blob; succeeds when there is none.
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;

    /// A URL from which whoever has it reads the blob for so long, and saves it as `file_name`, a name
    /// without quotes and control characters. `None` where the blobs have no such URLs. It says nothing
    /// of whether there is a blob.
    async fn signed_url(
        &self,
        _key: &BlobKey,
        _life: Duration,
        _file_name: &str,
    ) -> Result<Option<String>, BlobError> {
        Ok(None)
    }
}

/// Writes one blob. Dropped before it is finished, it leaves nothing that can be read.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes at its end.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError>;

    /// Makes the blob appear with everything that was written, and returns its size.
    async fn finish(self: Box<Self>) -> Result<u64, BlobError>;

    /// Gives it up.
    async fn abort(self: Box<Self>);
}

/// Names a blob: segments between slashes, each of `A–Z a–z 0–9 . _ -` and none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey(String);

impl BlobKey {
    /// The key of this text.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: impl Into<String>) -> Result<Self, BlobError> {
        let text = text.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_segment =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed);
        if text.len() <= MAX_BLOB_KEY && text.split('/').all(is_segment) {
            Ok(Self(text))
        } else {
            Err(BlobError::Invalid { key: text.chars().take(MAX_BLOB_KEY).collect() })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why nothing came of a call.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("`{key}` is not a key of a blob")]
    Invalid { key: String },
    /// There is one already.
    #[error("there is already a blob `{key}`")]
    Exists { key: BlobKey },
    /// There is none.
    #[error("there is no blob `{key}`")]
    NotFound { key: BlobKey },
    /// The disk is full, or a quota is reached. What was written of it is gone.
    #[error("there is no room for blob `{key}`: {reason}")]
    NoRoom { key: BlobKey, reason: String },
    /// Anything else; the same call may succeed later.
    #[error("the blobs did not answer: {reason}")]
    Unavailable {
        reason: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_where_the_blobs_are() {
        let long = "x".repeat(MAX_BLOB_KEY + 1);
        for bad in ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a b", "ä", "a\\b", &long] {
            assert!(BlobKey::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "files/default/file-1", "a.b/c_d-e"] {
            assert_eq!(BlobKey::new(good).unwrap().as_str(), good);
        }
    }
}
