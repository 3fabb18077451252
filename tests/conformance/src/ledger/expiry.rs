//! Reservations that nobody settles in time.

use std::time::Duration;

use diogenes_core::ports::{Account, GRACE, LedgerError, Settlement, Unit};

use super::{Fixture, LIFE, amounts, charge, done, reservation, tokens};

/// A reservation that expires counts as used in full: nothing has to be written for that.
pub async fn expired_reservation_counts_as_used(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 100, 80)]).await;
    fixture.pass(LIFE * 2);
    assert_eq!(fixture.charged(&account).await, 80);
    fixture.refused("2", &[charge(&account, 100, 21)]).await;
    assert_eq!(fixture.ledger.sweep(10, fixture.now()).await.unwrap().len(), 1);
    assert_eq!(fixture.charged(&account).await, 80);
    fixture.refused("2", &[charge(&account, 100, 21)]).await;
}

/// Within the grace, a late settlement corrects the estimate, whether it was swept or not.
pub async fn late_settlement_corrects_the_estimate(fixture: &Fixture) {
    let account = tokens("key#a");
    for (id, is_swept) in [("1", false), ("2", true)] {
        fixture.reserve(id, &[charge(&account, 100, 50)]).await;
        fixture.pass(LIFE);
        if is_swept {
            assert_eq!(fixture.ledger.sweep(10, fixture.now()).await.unwrap().len(), 1);
        }
        fixture.pass(GRACE.saturating_sub(Duration::from_secs(1)));
        assert_eq!(fixture.settle(id, &[10]).await, done(true, &[0]));
        let again = fixture.settle(id, &[50]).await;
        assert_eq!(again, Settlement::Repeated { used: amounts(&[10]) });
    }
    assert_eq!(fixture.charged(&account).await, 20);
}

/// After the grace, the estimate stands.
pub async fn forgotten_reservation_stays_charged(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 100, 80)]).await;
    fixture.pass(LIFE + GRACE);
    let result = fixture.try_settle("1", &[0]).await;
    assert!(matches!(result, Err(LedgerError::NotFound(_))), "{result:?}");
    assert_eq!(fixture.charged(&account).await, 80);
}

/// A window that ended long ago is forgotten, and settling into it neither fails nor revives it.
pub async fn forgotten_window_is_not_settled(fixture: &Fixture) {
    let window = Account::window("key#a", Unit::Tokens, fixture.now() + Duration::from_mins(1));
    let lasting = tokens("key#a");
    let charges = [charge(&window, 100, 80), charge(&lasting, 100, 80)];
    let (expires_at, now) = (fixture.now() + GRACE * 3, fixture.now());
    fixture.ledger.reserve(&reservation("1"), &charges, expires_at, now).await.unwrap();
    fixture.pass(GRACE * 2 + Duration::from_mins(2));
    assert_eq!(fixture.settle("1", &[20, 20]).await, done(false, &[0, 0]));
    assert_eq!(fixture.charged(&window).await, 0);
    assert_eq!(fixture.charged(&lasting).await, 20);
}

/// A sweep returns each expired reservation once, and none that is open or settled.
pub async fn sweep_returns_each_estimate_once(fixture: &Fixture) {
    let account = tokens("key#a");
    for number in 0..12 {
        fixture.reserve(&number.to_string(), &[charge(&account, 100, 1)]).await;
    }
    fixture.settle("3", &[1]).await;
    fixture.settle("4", &[1]).await;
    assert_eq!(fixture.ledger.sweep(100, fixture.now()).await.unwrap(), []);
    fixture.pass(LIFE.saturating_sub(Duration::from_secs(1)));
    fixture.reserve("late", &[charge(&account, 100, 1)]).await;
    fixture.pass(Duration::from_secs(1));
    let mut seen = Vec::new();
    // An index may lag behind what was written just now.
    let began = std::time::Instant::now();
    while seen.len() < 10 && began.elapsed() < Duration::from_secs(20) {
        let swept = fixture.ledger.sweep(3, fixture.now()).await.unwrap();
        assert!(swept.len() <= 3, "{swept:?}");
        seen.extend(swept);
    }
    let mut ids: Vec<_> = seen.iter().map(|estimate| estimate.id.to_string()).collect();
    ids.sort();
    let mut expected: Vec<_> = [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]
        .map(|number| reservation(&number.to_string()).to_string())
        .into();
    expected.sort();
    assert_eq!(ids, expected);
    assert!(seen.iter().all(|estimate| estimate.charges == [charge(&account, 100, 1)]));
    assert_eq!(fixture.ledger.sweep(100, fixture.now()).await.unwrap(), []);
    assert_eq!(fixture.charged(&account).await, 13);
}
