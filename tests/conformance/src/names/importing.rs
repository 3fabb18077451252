//! A price list is there whole, or another one is.

use std::sync::atomic::{AtomicBool, Ordering};

use diogenes_core::audit::Actor;
use diogenes_core::gateway::catalog::{CatalogError, Precondition};
use diogenes_core::gateway::prices::PriceList;
use diogenes_core::ports::{Query, Table};
use serde_json::json;

use super::Fixture;

/// A list of so many models, some hundred bytes each.
fn list(source: &str, models: usize) -> PriceList {
    let models = (0..models).map(|number| {
        let name = format!("{source}-{}-{number}", "long".repeat(25));
        json!({"match": [name], "price": {"input": "1", "output": "2"}})
    });
    let models: Vec<_> = models.collect();
    let list = json!({"source": source, "date": "2026-11-27", "providers": {
        "openai": {"models": models},
    }});
    PriceList::parse(list.to_string().as_bytes()).unwrap()
}

async fn import(f: &Fixture, list: &PriceList) -> Result<bool, CatalogError> {
    let (actor, whatever) = (Actor::operator(), Precondition::None);
    f.editor.import_prices(&actor, list, &whatever).await.map(|(is_new, _)| is_new)
}

/// How many items the parts of lists are.
async fn parts(f: &Fixture) -> usize {
    let query = Query::new(Table::Main, "GATEWAY", "PRICES#");
    f.store.list(&query).await.unwrap().items.len()
}

/// What is read is what was imported, also where it is longer than an item; another list takes its
/// place whole, and leaves nothing behind.
pub async fn a_list_takes_the_place_of_another(f: &Fixture) {
    assert_eq!(f.editor.load_with_prices().await.unwrap().1, None);
    let (long, short) = (list("long", 5000), list("short", 1));
    assert!(import(f, &long).await.unwrap());
    assert!(parts(f).await > 5);
    for (imported, is_longer) in [(&short, false), (&long, true), (&long, true)] {
        assert!(!import(f, imported).await.unwrap(), "it is not the first");
        assert_eq!(f.editor.load_with_prices().await.unwrap().1.as_ref(), Some(imported));
        assert_eq!(parts(f).await > 1, is_longer);
    }
    let (actor, whatever) = (Actor::operator(), Precondition::None);
    let (deleted, _) = f.editor.delete_prices(&actor, &whatever).await.unwrap();
    assert_eq!((deleted, parts(f).await), (long, 0));
    assert_eq!(f.editor.load_with_prices().await.unwrap().1, None);
    let refused = f.editor.delete_prices(&actor, &whatever).await;
    assert!(matches!(refused, Err(CatalogError::NoPrices)), "{refused:?}");
}

/// One that no commit takes is refused, and what stands stays.
pub async fn a_list_that_is_too_long_is_refused(f: &Fixture) {
    import(f, &list("short", 1)).await.unwrap();
    let refused = import(f, &list("long", 12_000)).await;
    assert!(matches!(refused, Err(CatalogError::PricesTooLarge { .. })), "{refused:?}");
    assert_eq!(parts(f).await, 1);
}

/// Whoever reads while lists come and go reads one of them, whole.
pub async fn no_list_is_read_in_part(f: &Fixture) {
    let lists = [list("one", 2000), list("two", 3000)];
    import(f, &lists[0]).await.unwrap();
    let is_over = AtomicBool::new(false);
    let writes = async {
        for round in 1..=8 {
            import(f, &lists[round % 2]).await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let reads = async {
        while !is_over.load(Ordering::Relaxed) {
            let read = f.editor.load_with_prices().await.unwrap().1.unwrap();
            assert!(lists.contains(&read), "{} of {}", read.source(), read.date());
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writes, reads);
}
