//! What is read of which model.

use diogenes_core::ports::Demand;

use super::{Fixture, claim, model, other_model};

/// All is zero for a model that nobody asked for.
pub async fn model_that_nobody_asked_for_has_no_demand(f: &Fixture) {
    assert_eq!(f.demand(&model()).await, Demand::default());
    f.callers.ready(&model(), &claim("a")).await;
    let demand = f.demand(&model()).await;
    assert_eq!((demand.total(), demand.last_used_at()), (0, None), "{demand:?}");
}

/// Requests count for their own model only.
pub async fn models_are_apart(f: &Fixture) {
    f.callers.arrive(&model()).await;
    f.until(&model(), |demand| demand.held == 1).await;
    assert_eq!(f.demand(&other_model()).await, Demand::default());
    f.callers.ready(&other_model(), &claim("a")).await;
    f.callers.begin(&other_model(), &claim("a")).await;
    f.until(&other_model(), |demand| demand.total() == 1).await;
    let demand = f.demand(&model()).await;
    assert_eq!((demand.held, demand.total()), (1, 1), "{demand:?}");
}

/// What cannot be read is an error: no demand would end every replica.
pub async fn unreadable_demand_is_an_error(f: &Fixture) {
    let Some(unreadable) = &f.unreadable else { return };
    let demand = unreadable.demand(&model()).await;
    assert!(demand.is_err(), "{demand:?}");
}
