//! Importing a price list.

use super::editor::CatalogEditor;
use super::{Catalog, CatalogError, ImportedPrices, Listed, Precondition};
use crate::audit::{Action, Actor, Change};
use crate::entity::StoreExt as _;
use crate::fleet::Source;
use crate::gateway::prices::PriceList;
use crate::ports::{StateStore, StoreError};

const WHAT: &str = "the imported price list";
/// What a record of the audit log is about.
const TARGET: &str = "prices/imported";

impl CatalogEditor {
    /// Takes over a price list in the place of the one that was imported before; returns whether
    /// there was none, and the catalog with it. The same list again changes nothing.
    ///
    /// The catalog and the text are one commit: whoever reads the catalog finds the text that it
    /// names, or that another catalog stands.
    pub async fn import_prices(
        &self,
        actor: &Actor,
        list: &PriceList,
        precondition: &Precondition,
    ) -> Result<(bool, Catalog), CatalogError> {
        let (prices, text) = ImportedPrices::of(list)?;
        loop {
            let (mut catalog, expect) = self.read().await?;
            let standing = catalog.prices.take();
            precondition.check(standing.as_ref(), WHAT)?;
            if standing.as_ref().is_some_and(|standing| standing.spec == prices) {
                return Ok((false, Catalog { prices: standing, ..catalog }));
            }
            let now = self.clock.now();
            let created_at = standing.as_ref().map_or(now, |standing| standing.created_at);
            let mut writes = prices.puts(&text)?;
            writes.extend(standing.iter().flat_map(|standing| standing.spec.deletes()));
            let listed =
                Listed { spec: prices.clone(), source: Source::Api, created_at, updated_at: now };
            catalog.prices = Some(listed);
            let summary = format!("{}, {}", prices.source, prices.date);
            let change = Change::of_installation(Action::prices_import(), TARGET.into(), summary);
            if self.commit(&catalog, expect, writes, vec![change], actor).await? {
                return Ok((standing.is_none(), catalog));
            }
        }
    }

    /// Deletes the imported price list; returns it, and the catalog without it.
    pub async fn delete_prices(
        &self,
        actor: &Actor,
        precondition: &Precondition,
    ) -> Result<(PriceList, Catalog), CatalogError> {
        loop {
            let (mut catalog, expect) = self.read().await?;
            let standing = catalog.prices.take().ok_or(CatalogError::NoPrices)?;
            precondition.check(Some(&standing), WHAT)?;
            let list = standing.spec.read(&*self.store).await?;
            let writes = standing.spec.deletes().collect();
            let change = Change::of_installation(Action::prices_delete(), TARGET.into(), "");
            if self.commit(&catalog, expect, writes, vec![change], actor).await? {
                // If its text was not there, that was damaged before.
                let ImportedPrices { source, date, .. } = standing.spec;
                return Ok((list.unwrap_or_else(|| PriceList::empty(source, date)), catalog));
            }
        }
    }

    /// The catalog as it stands, and the price list that it names.
    pub async fn load_with_prices(&self) -> Result<(Catalog, Option<PriceList>), CatalogError> {
        load_with_prices(&*self.store, |_| true).await.map_err(CatalogError::from)
    }
}

/// The catalog as it stands, and the price list that it names, where that is `wanted`.
pub async fn load_with_prices(
    store: &dyn StateStore,
    wanted: impl Fn(&ImportedPrices) -> bool,
) -> Result<(Catalog, Option<PriceList>), StoreError> {
    let mut gone = None;
    loop {
        let catalog = store.load::<Catalog>(&Catalog::key()).await?;
        let catalog = catalog.map(|stored| stored.value).unwrap_or_default();
        let named = catalog.prices.as_ref().map(|listed| &listed.spec);
        let Some(named) = named.filter(|named| wanted(named)) else { return Ok((catalog, None)) };
        if let Some(list) = named.read(store).await? {
            return Ok((catalog, Some(list)));
        }
        // Another list has taken its place since, or parts of it are lost.
        if gone.replace(named.digest().to_owned()).is_some_and(|gone| gone == named.digest()) {
            return Err(StoreError::Corrupt {
                reason: "the imported price list is incomplete; import it again".into(),
                source: None,
            });
        }
    }
}
