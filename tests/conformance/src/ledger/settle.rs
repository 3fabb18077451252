//! What was used.

use std::time::Duration;

use diogenes_core::ports::{Account, LedgerError, Settlement, Unit};

use super::{Fixture, amounts, charge, done, tokens};

/// What was used stands in place of what was reserved, in every account.
pub async fn settlement_replaces_the_reservation(fixture: &Fixture) {
    let [key, project] = ["key#a", "project#p"].map(tokens);
    fixture.reserve("1", &[charge(&key, 100, 80), charge(&project, 100, 80)]).await;
    fixture.refused("2", &[charge(&key, 100, 30)]).await;
    assert_eq!(fixture.settle("1", &[20, 25]).await, done(false, &[0, 0]));
    assert_eq!((fixture.charged(&key).await, fixture.charged(&project).await), (20, 25));
    fixture.reserve("2", &[charge(&key, 100, 80)]).await;
    assert_eq!(fixture.settle("2", &[80]).await, done(false, &[0]));
    assert_eq!(fixture.charged(&key).await, 100);
}

/// A reservation that used nothing leaves nothing.
pub async fn unused_reservation_leaves_nothing(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 100, 80)]).await;
    assert_eq!(fixture.settle("1", &[0]).await, done(false, &[0]));
    assert_eq!(fixture.charged(&account).await, 0);
}

/// A reservation is settled once; every further settlement says what stands.
pub async fn second_settlement_changes_nothing(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 100, 80)]).await;
    fixture.settle("1", &[20]).await;
    for again in [20, 50, 0] {
        let settlement = fixture.settle("1", &[again]).await;
        assert_eq!(settlement, Settlement::Repeated { used: amounts(&[20]) });
        assert_eq!(fixture.charged(&account).await, 20);
    }
}

/// What was used above the reservation is charged in full, beyond the cap too, and told.
pub async fn overshoot_is_charged_in_full(fixture: &Fixture) {
    let [key, project] = ["key#a", "project#p"].map(tokens);
    fixture.reserve("1", &[charge(&key, 100, 80), charge(&project, 1000, 80)]).await;
    assert_eq!(fixture.settle("1", &[150, 70]).await, done(false, &[70, 0]));
    assert_eq!((fixture.charged(&key).await, fixture.charged(&project).await), (150, 70));
    assert_eq!(fixture.refused("2", &[charge(&key, 100, 1)]).await.left.get(), 0);
}

/// What was never reserved cannot be settled, nor with another number of amounts.
pub async fn bad_settlements_are_refused(fixture: &Fixture) {
    let account = tokens("key#a");
    let result = fixture.try_settle("1", &[1]).await;
    assert!(matches!(result, Err(LedgerError::NotFound(_))), "{result:?}");
    fixture.reserve("1", &[charge(&account, 100, 80)]).await;
    for used in [vec![], vec![1, 2]] {
        let result = fixture.try_settle("1", &used).await;
        assert!(matches!(result, Err(LedgerError::Invalid { .. })), "{result:?}");
    }
    assert_eq!(fixture.charged(&account).await, 80);
}

/// The window in which was reserved is the one that is settled.
pub async fn settlement_goes_to_the_window_of_the_reservation(fixture: &Fixture) {
    let first = fixture.now() + Duration::from_mins(1);
    let second = first + Duration::from_mins(1);
    let window = |end| Account::window("key#a", Unit::Tokens, end);
    fixture.reserve("1", &[charge(&window(first), 100, 80)]).await;
    fixture.pass(Duration::from_secs(61));
    fixture.reserve("2", &[charge(&window(second), 100, 7)]).await;
    fixture.settle("1", &[30]).await;
    assert_eq!(fixture.charged(&window(first)).await, 30);
    assert_eq!(fixture.charged(&window(second)).await, 7);
}
