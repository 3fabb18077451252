//! Nobody undoes a change that they have not seen.

use std::time::Duration;

use diogenes_core::audit::Actor;
use diogenes_core::gateway::RouteSpec;
use diogenes_core::gateway::catalog::{CatalogError, Precondition};
use tokio::task::JoinSet;

use super::{Fixture, leading_to, name};

/// Of many that have read the same, one changes it.
pub async fn of_many_changes_of_one_reading_one_is_made(f: &Fixture) {
    f.route("a").await.unwrap();
    let read = f.editor.load().await.unwrap().routes[&name("a")].tag().unwrap();
    let mut changes = JoinSet::new();
    for minutes in 1..=6 {
        let (editor, unchanged) = (f.editor.clone(), Precondition::Unchanged(vec![read.clone()]));
        let sticky = Some(Duration::from_mins(minutes));
        let spec = RouteSpec { sticky, ..leading_to("target") };
        changes.spawn(async move {
            editor.apply_route(&Actor::operator(), &name("a"), &spec, &unchanged).await.map(drop)
        });
    }
    let outcomes = changes.join_all().await;
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(CatalogError::Precondition(_))));
    assert_eq!((outcomes.len(), refused.count()), (6, 5), "{outcomes:?}");
}

/// Of many that add the same, one does.
pub async fn of_many_additions_one_is_made(f: &Fixture) {
    let mut additions = JoinSet::new();
    for _ in 0..6 {
        let editor = f.editor.clone();
        additions.spawn(async move {
            let (actor, spec) = (Actor::operator(), leading_to("target"));
            editor.apply_route(&actor, &name("a"), &spec, &Precondition::Absent).await.map(drop)
        });
    }
    let outcomes = additions.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
}

/// Many that read again whenever they come too late lose no change.
pub async fn no_change_is_lost_by_those_that_read_again(f: &Fixture) {
    f.route("a").await.unwrap();
    for number in 0..6 {
        f.model(&format!("m{number}"), &[]).await.unwrap();
    }
    let mut changes = JoinSet::new();
    for number in 0..6 {
        let editor = f.editor.clone();
        changes.spawn(async move {
            loop {
                let standing = editor.load().await.unwrap().routes[&name("a")].clone();
                let unchanged = Precondition::Unchanged(vec![standing.tag().unwrap()]);
                let mut spec = standing.spec;
                spec.targets.extend(leading_to(&format!("m{number}")).targets);
                match editor.apply_route(&Actor::operator(), &name("a"), &spec, &unchanged).await {
                    Err(CatalogError::Precondition(_)) => {}
                    applied => return applied.map(drop).unwrap(),
                }
            }
        });
    }
    changes.join_all().await;
    let catalog = f.editor.load().await.unwrap();
    assert_eq!(catalog.routes[&name("a")].spec.targets.len(), 7);
}
