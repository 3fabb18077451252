//! Forms with files.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::ApiError;

/// The parts of a form by their names, in order.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, Bytes)>);

impl Form {
    /// Reads a body that is all there.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let refused = |error: multer::Error| ApiError::validation(&error.to_string());
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(refused)?;
        let body = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(body))]);
        let mut parts = multer::Multipart::new(body, boundary);
        let read = async move {
            let mut form = Self::default();
            while let Some(part) = parts.next_field().await? {
                let name = part.name().unwrap_or_default().to_owned();
                form.0.push((name, part.bytes().await?));
            }
            Ok::<_, multer::Error>(form)
        };
        let at_once = read.now_or_never();
        at_once.ok_or_else(|| ApiError::validation("the form has no end"))?.map_err(refused)
    }

    /// A field as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// Whether a field says yes, as pydantic understands it.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        let value = self.text(name).unwrap_or_default().to_lowercase();
        ["true", "1", "on", "yes"].contains(&value.as_str())
    }

    /// A file that has to be there.
    pub(crate) fn file(&self, names: &[&str]) -> Result<&[u8], ApiError> {
        let file = self.0.iter().find(|(name, _)| names.contains(&name.as_str()));
        file.map(|(_, bytes)| bytes.as_ref())
            .ok_or_else(|| ApiError::validation("a file is missing: Field required"))
    }
}

/// So much of a file, and the sum of its bytes: what shows that it arrived whole.
pub(crate) fn heard(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
    format!("{} bytes with the sum {sum}", bytes.len())
}
