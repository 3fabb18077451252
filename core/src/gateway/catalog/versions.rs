use serde::{Deserialize, Serialize};

use super::CatalogError;
use crate::entity::{Entity, StoreExt as _};
use crate::gateway::prices::{Price, RateCard};
use crate::name::ModelName;
use crate::ports::{Expect, Key, StateStore, StoreError, Write};

/// How many versions of a model are known; of older ones nothing is.
const MOST_VERSIONS: usize = 100;

/// The versions that the rate cards of a model have had, and what each has cost: one version has
/// one price for ever, also when another one stands or none does. It outlives the model, as what
/// was used of it is reported by its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CardVersions {
    model: ModelName,
    /// The newest last.
    versions: Vec<CardVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CardVersion {
    version: String,
    price: Price,
}

impl CardVersions {
    /// The write that adds the version of `card` to those of a model; none if it is known. `standing`
    /// is the rate card that is to be replaced.
    ///
    /// Whoever commits it expects the catalog that it has read before, so that no other version is
    /// lost.
    ///
    /// # Errors
    /// [`CatalogError::CardVersion`] if the version has had another price.
    pub(super) async fn with(
        store: &dyn StateStore,
        model: &ModelName,
        standing: Option<&RateCard>,
        card: &RateCard,
    ) -> Result<Option<Write>, CatalogError> {
        let stored = store.load::<Self>(&Self::key_of(model)).await?.map(|stored| stored.value);
        let mut known = stored.unwrap_or_else(|| Self { model: model.clone(), versions: vec![] });
        let mut is_new = false;
        for card in standing.into_iter().chain([card]) {
            is_new |= known.add(card)?;
        }
        Ok(if is_new { Some(known.put(Expect::Any)?) } else { None })
    }

    /// Whether the version is new.
    fn add(&mut self, card: &RateCard) -> Result<bool, CatalogError> {
        let RateCard { version, price } = card;
        if let Some(known) = self.versions.iter().find(|known| known.version == *version) {
            if known.price == *price {
                return Ok(false);
            }
            let (model, version) = (self.model.clone(), version.clone());
            return Err(CatalogError::CardVersion { model, version });
        }
        self.versions.push(CardVersion { version: version.clone(), price: price.clone() });
        let excess = self.versions.len().saturating_sub(MOST_VERSIONS);
        self.versions.drain(..excess);
        Ok(true)
    }

    fn key_of(model: &ModelName) -> Key {
        Key::new("GATEWAY", format!("VERSIONS#{model}"))
    }
}

impl Entity for CardVersions {
    const KIND: &'static str = "list of the versions of a rate card";

    fn key(&self) -> Key {
        Self::key_of(&self.model)
    }
}

/// What a record of the audit log says of a rate card.
pub(super) fn told(card: &RateCard) -> Result<String, StoreError> {
    let price = serde_json::to_string(&card.price).map_err(|source| StoreError::Invalid {
        reason: format!("this price cannot be written as JSON: {source}"),
    })?;
    Ok(format!("{} {price}", card.version))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_versions_are_known() {
        let card = |version: usize, input: &str| {
            let price = json!({"input": input, "output": "2"});
            let card = json!({"version": version.to_string(), "price": price});
            serde_json::from_value::<RateCard>(card).unwrap()
        };
        let mut known = CardVersions { model: "m".parse().unwrap(), versions: vec![] };
        for version in 0..=MOST_VERSIONS {
            assert!(known.add(&card(version, "1")).unwrap());
        }
        assert!(!known.add(&card(1, "1")).unwrap());
        known.add(&card(1, "9")).unwrap_err();
        known.add(&card(MOST_VERSIONS, "9")).unwrap_err();
        assert!(known.add(&card(0, "9")).unwrap(), "it was forgotten");
    }
}
