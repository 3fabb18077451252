use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{CatalogError, Listed};
use crate::hex;
use crate::ports::StoreError;

/// What must stand of a definition for a change of it to be made, so that nobody undoes a change
/// that they have not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever stands there.
    None,
    /// No definition.
    Absent,
    /// A definition, whichever.
    Present,
    /// A definition with one of these tags.
    Unchanged(Vec<Tag>),
}

/// Tells a definition apart from what it was before and will be after any change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// The tag with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<T: Serialize> Listed<T> {
    /// Its tag. Not the version of the catalog, which changes with every other definition too.
    pub fn tag(&self) -> Result<Tag, StoreError> {
        let text = serde_json::to_vec(self).map_err(|source| StoreError::Invalid {
            reason: format!("this definition cannot be written as JSON: {source}"),
        })?;
        let digest = hex(&Sha256::digest(text));
        Ok(Tag(digest.chars().take(32).collect()))
    }
}

impl Precondition {
    /// Refuses the change of `what`, of which this stands, if it must not be made.
    pub(super) fn check<T: Serialize>(
        &self,
        standing: Option<&Listed<T>>,
        what: &str,
    ) -> Result<(), CatalogError> {
        let problem = match (self, standing) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => return Ok(()),
            (Self::Unchanged(tags), Some(standing)) => {
                if tags.contains(&standing.tag()?) {
                    return Ok(());
                }
                "has changed since it was read; read it again, and repeat the change with its new \
                 `ETag` as `If-Match`"
            }
            (Self::Present | Self::Unchanged(_), None) => {
                "does not exist any more; leave out `If-Match` to add it again"
            }
            (Self::Absent, Some(_)) => {
                "already exists; to change it, send its `ETag` as `If-Match` instead of \
                 `If-None-Match`"
            }
        };
        Err(CatalogError::Precondition(format!("{what} {problem}")))
    }
}
