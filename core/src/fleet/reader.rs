use std::sync::Arc;

use crate::entity::{Entity, Stored};
use crate::fleet::{BootHistory, Control, Model, ModelView, Slot};
use crate::name::ModelName;
use crate::ports::{Item, Query, StateStore, StoreError, Table};

/// The model as it stands in the store, read in one listing of its partition; `None` when it has
/// no record.
pub async fn read_view(
    store: &dyn StateStore,
    name: &ModelName,
) -> Result<Option<ModelView>, StoreError> {
    let mut query = Query::new(Table::Main, Model::key_of(name).partition, "");
    let mut model = None;
    let mut control = Control::new(name.clone());
    let (mut slots, mut histories) = (Vec::new(), Vec::new());
    loop {
        let page = store.list(&query).await?;
        for item in page.items {
            let sort = item.key.sort.as_str();
            if item.key == Model::key_of(name) {
                model = Some(value::<Model>(item)?);
            } else if item.key == Control::key_of(name) {
                control = value(item)?;
            } else if sort.starts_with("SLOT#") {
                slots.push(value::<Slot>(item)?);
            } else if sort.starts_with("HISTORY#") {
                histories.push(value::<BootHistory>(item)?);
            }
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    let Some(model) = model else {
        return Ok(None);
    };
    let key = ModelView::history_key(&model, &slots);
    let history = histories.into_iter().find(|history| Some(history.key()) == key);
    Ok(Some(ModelView::new(Arc::new(model), slots, control, history)))
}

fn value<T: Entity>(item: Item) -> Result<T, StoreError> {
    Stored::from_item(item).map(|stored| stored.value)
}
