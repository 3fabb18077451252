//! What the catalog tells of the imported price list, and its text beside the catalog.

use futures_util::future::try_join_all;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::CatalogError;
use crate::entity::{Entity, StoreExt as _};
use crate::gateway::prices::PriceList;
use crate::hex;
use crate::ports::{Expect, Key, StateStore, StoreError, Write};

/// The longest list, in bytes of compact JSON. The catalog and the list are written in one
/// transaction, of which DynamoDB takes 4 MB; quotes are escaped in it.
const MOST_BYTES: usize = 1_500_000;
/// The longest part of its text. Escaped it is at most twice as long, which an item takes.
const MOST_OF_A_PART: usize = 120_000;

/// An imported price list, as the catalog names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedPrices {
    /// The hash of its text, which stands in parts under it.
    digest: String,
    parts: usize,
    /// Where the prices are from.
    pub source: String,
    /// The day that they are of.
    pub date: Date,
}

/// A part of the text of a price list.
#[derive(Serialize, Deserialize)]
struct Part {
    digest: String,
    number: usize,
    text: String,
}

impl Part {
    fn key_of(digest: &str, number: usize) -> Key {
        Key::new("GATEWAY", format!("PRICES#{digest}#{number:03}"))
    }
}

impl Entity for Part {
    const KIND: &'static str = "part of a price list";

    fn key(&self) -> Key {
        Self::key_of(&self.digest, self.number)
    }
}

impl ImportedPrices {
    /// What the catalog is to tell of a list, and its text.
    pub(super) fn of(list: &PriceList) -> Result<(Self, String), CatalogError> {
        let text = serde_json::to_string(list).map_err(|source| StoreError::Invalid {
            reason: format!("this price list cannot be written as JSON: {source}"),
        })?;
        if text.len() > MOST_BYTES {
            return Err(CatalogError::PricesTooLarge { bytes: text.len(), most: MOST_BYTES });
        }
        let digest = hex(&Sha256::digest(&text));
        let (source, date) = (list.source().to_owned(), list.date());
        Ok((Self { digest, parts: pieces(&text).count(), source, date }, text))
    }

    /// Tells it from every other list.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The list; none if another one has taken its place.
    pub async fn read(&self, store: &dyn StateStore) -> Result<Option<PriceList>, StoreError> {
        let keys = (0..self.parts).map(|number| Part::key_of(&self.digest, number));
        let keys: Vec<Key> = keys.collect();
        let parts = try_join_all(keys.iter().map(|key| store.load::<Part>(key))).await?;
        let text: Option<String> =
            parts.into_iter().map(|part| part.map(|part| part.value.text)).collect();
        let Some(text) = text else { return Ok(None) };
        let list = PriceList::parse(text.as_bytes()).map_err(|source| StoreError::Corrupt {
            reason: "the imported price list cannot be read".into(),
            source: Some(source.into()),
        })?;
        Ok(Some(list))
    }

    /// The writes that put its text there.
    pub(super) fn puts(&self, text: &str) -> Result<Vec<Write>, StoreError> {
        let parts = pieces(text).enumerate().map(|(number, text)| {
            Part { digest: self.digest.clone(), number, text: text.to_owned() }.put(Expect::Any)
        });
        parts.collect()
    }

    /// The writes that take it away.
    pub(super) fn deletes(&self) -> impl Iterator<Item = Write> {
        (0..self.parts).map(|number| Write::Delete {
            key: Part::key_of(&self.digest, number),
            expect: Expect::Any,
        })
    }
}

/// A text in parts that an item takes.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(MOST_OF_A_PART));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_sum_of_its_pieces() {
        for text in ["", "short", &"é".repeat(MOST_OF_A_PART), &"a🦀".repeat(MOST_OF_A_PART)] {
            let parts: Vec<&str> = pieces(text).collect();
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.len() <= MOST_OF_A_PART));
            assert!(parts.len() <= text.len() / MOST_OF_A_PART + 1);
        }
    }
}
