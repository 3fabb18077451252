//! A name has one owner.

use diogenes_core::entity::{Entity as _, StoreExt as _};
use diogenes_core::fleet::{NameClaim, NameHolder, RegistryError};
use diogenes_core::gateway::catalog::{Catalog, CatalogError};
use diogenes_core::ports::Expect;
use tokio::join;

use super::{Fixture, name};

/// Of a model, an alias and a route that want a name at the same moment one gets it.
pub async fn a_model_and_a_route_never_share_a_name(f: &Fixture) {
    for round in 0..8 {
        let wanted = format!("wanted-{round}");
        let (other, wanted) = (format!("other-{round}"), wanted.as_str());
        let aliases = [wanted];
        let (as_model, as_alias, as_route) =
            join!(f.model(wanted, &[]), f.model(&other, &aliases), f.route(wanted));
        let got = [as_model.is_ok(), as_alias.is_ok(), as_route.is_ok()];
        assert_eq!(got.iter().filter(|got| **got).count(), 1, "{wanted}: {got:?}");
        let holder = match got {
            [true, ..] => NameHolder::Model(name(wanted)),
            [_, true, _] => NameHolder::Model(name(&other)),
            _ => NameHolder::Route { former_model: None },
        };
        assert_eq!(f.holder(wanted).await, Some(holder));
        let catalog = f.editor.load().await.unwrap();
        assert_eq!(catalog.routes.contains_key(&name(wanted)), as_route.is_ok());
        let models = f.registry.list().await.unwrap();
        let answers = models.iter().any(|model| model.answers_to(wanted));
        assert_eq!(answers, as_route.is_err(), "{wanted}");
    }
}

/// Whoever comes later is told who has the name, and gets it when it is given up.
pub async fn a_name_is_free_when_it_is_given_up(f: &Fixture) {
    f.route("a").await.unwrap();
    for refused in [f.model("a", &[]).await, f.model("b", &["a"]).await] {
        assert!(matches!(refused, Err(RegistryError::IsRoute(_))), "{refused:?}");
    }
    f.delete_route("a").await;
    assert_eq!(f.holder("a").await, None);
    f.model("b", &["a"]).await.unwrap();
    let refused = f.route("a").await;
    assert!(matches!(refused, Err(CatalogError::NameTaken { .. })), "{refused:?}");
    f.delete_model("b").await;
    f.route("a").await.unwrap();
}

/// A name that a model has had leads to no provider, also when a route had it in between.
pub async fn a_route_forgets_no_former_model(f: &Fixture) {
    f.model("openai/gpt", &[]).await.unwrap();
    f.delete_model("openai/gpt").await;
    for route in ["openai/gpt", "openai/free"] {
        f.route(route).await.unwrap();
        f.delete_route(route).await;
    }
    let was_a_model = async |of| NameClaim::is_of_a_model(&*f.store, &name(of)).await.unwrap();
    assert!(was_a_model("openai/gpt").await);
    assert!(!was_a_model("openai/free").await);
    f.route("openai/gpt").await.unwrap();
    assert!(was_a_model("openai/gpt").await);
}

/// A route that was written before there were claims of routes gets its own when it is written
/// again, also as it is.
pub async fn a_route_without_a_claim_gets_one_when_it_is_written(f: &Fixture) {
    f.route("a").await.unwrap();
    let catalog = f.store.load::<Catalog>(&Catalog::key()).await.unwrap().unwrap();
    f.store.remove(NameClaim::key_of(&name("a")), Expect::Any).await.unwrap();
    f.route("a").await.unwrap();
    assert_eq!(f.holder("a").await, Some(NameHolder::Route { former_model: None }));
    let after = f.store.load::<Catalog>(&Catalog::key()).await.unwrap().unwrap();
    assert_eq!(after.value, catalog.value, "nothing else has changed");
    assert_eq!(after.value.key(), Catalog::key());
}
