//! What is set aside.

use std::time::Duration;

use diogenes_core::ports::{
    Account, Amount, Charge, LedgerError, MAX_CHARGES, MAX_LEDGER_NAME, Refusal, Unit,
};

use super::{Fixture, LIFE, amounts, charge, reservation, tokens};

/// A reservation counts at once, up to the cap and including it.
pub async fn reservation_counts_against_the_cap(fixture: &Fixture) {
    let account = tokens("key#a");
    assert_eq!(fixture.charged(&account).await, 0);
    fixture.reserve("1", &[charge(&account, 100, 60)]).await;
    assert_eq!(fixture.charged(&account).await, 60);
    fixture.refused("2", &[charge(&account, 100, 41)]).await;
    assert_eq!(fixture.charged(&account).await, 60);
    fixture.reserve("2", &[charge(&account, 100, 40)]).await;
    assert_eq!(fixture.charged(&account).await, 100);
    fixture.refused("3", &[charge(&account, 100, 1)]).await;
    fixture.reserve("3", &[charge(&account, 100, 0)]).await;
}

/// Every account is charged, or none; the first one without enough refuses.
pub async fn reservation_is_whole_or_not_at_all(fixture: &Fixture) {
    let [key, project, run] = ["key#a", "project#p", "run#r"].map(tokens);
    fixture.reserve("1", &[charge(&project, 50, 40), charge(&run, 9, 3)]).await;
    let wanted = [charge(&key, 100, 20), charge(&project, 50, 20), charge(&run, 9, 20)];
    let refusal = fixture.refused("2", &wanted).await;
    let [cap, left] = [50, 10].map(Amount::saturating);
    // As far as the ledger knows.
    assert!([0, 40].map(Amount::saturating).contains(&refusal.in_flight), "{refusal:?}");
    let in_flight = refusal.in_flight;
    let account = project.clone();
    assert_eq!(refusal, Refusal { account, cap, left, in_flight, resets_at: None });
    assert_eq!(fixture.charged(&key).await, 0);
    assert_eq!(fixture.charged(&project).await, 40);
    assert_eq!(fixture.charged(&run).await, 3);
    fixture.reserve("2", &[charge(&key, 100, 20), charge(&project, 50, 10)]).await;
    assert_eq!((fixture.charged(&key).await, fixture.charged(&project).await), (20, 50));
}

/// A cap that was lowered below what stands leaves nothing.
pub async fn lowered_cap_leaves_nothing(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 100, 60)]).await;
    assert_eq!(fixture.refused("2", &[charge(&account, 50, 1)]).await.left, Amount::ZERO);
}

/// A window starts at zero, and a refusal says when the next one does.
pub async fn windows_are_accounts_of_their_own(fixture: &Fixture) {
    let first = fixture.now() + Duration::from_mins(1);
    let second = first + Duration::from_mins(1);
    let window = |end| Account::window("key#a", Unit::Tokens, end);
    fixture.reserve("1", &[charge(&window(first), 10, 10)]).await;
    let refusal = fixture.refused("2", &[charge(&window(first), 10, 1)]).await;
    assert_eq!(refusal.resets_at, Some(first));
    fixture.pass(Duration::from_mins(1));
    fixture.reserve("2", &[charge(&window(second), 10, 4)]).await;
    // The lasting account and that of another unit are others too.
    for other in [tokens("key#a"), Account::window("key#a", Unit::NanoDollars, second)] {
        fixture.reserve(other.unit.as_str(), &[charge(&other, 10, 10)]).await;
    }
    assert_eq!(fixture.charged(&window(first)).await, 10);
    assert_eq!(fixture.charged(&window(second)).await, 4);
}

/// An account without a cap is counted and never refuses.
pub async fn account_without_a_cap_is_counted(fixture: &Fixture) {
    let account = Account::lasting("route#r", Unit::NanoDollars);
    for id in ["1", "2"] {
        let amount = Amount::saturating(5_000_000_000_000);
        fixture.reserve(id, &[Charge { account: account.clone(), cap: None, amount }]).await;
    }
    assert_eq!(fixture.charged(&account).await, 10_000_000_000_000);
}

/// The same call again reserves nothing more, also when the account is full.
pub async fn repeated_reservation_changes_nothing(fixture: &Fixture) {
    let account = tokens("key#a");
    let wanted = [charge(&account, 10, 10)];
    let (expires_at, now) = (fixture.now() + LIFE, fixture.now());
    for _ in 0..3 {
        fixture.ledger.reserve(&reservation("1"), &wanted, expires_at, now).await.unwrap();
        assert_eq!(fixture.charged(&account).await, 10);
    }
}

/// An id stands for one reservation.
pub async fn id_is_not_used_for_other_charges(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 10, 1)]).await;
    for other in [vec![charge(&account, 10, 2)], vec![charge(&tokens("key#b"), 10, 1)]] {
        let result = fixture.try_reserve("1", &other).await;
        assert!(matches!(result, Err(LedgerError::Differs(_))), "{result:?}");
    }
    assert_eq!(fixture.charged(&account).await, 1);
    fixture.settle("1", &[1]).await;
    let result = fixture.try_reserve("1", &[charge(&account, 10, 1)]).await;
    assert!(matches!(result, Err(LedgerError::Closed(_))), "{result:?}");
    assert_eq!(fixture.charged(&account).await, 1);
}

/// Sums beyond what is counted are refused, and nothing wraps round.
pub async fn overflow_is_refused(fixture: &Fixture) {
    let account = tokens("key#a");
    let most = u64::MAX;
    fixture.reserve("1", &[charge(&account, most, most)]).await;
    let refusal = fixture.refused("2", &[charge(&account, most, 1)]).await;
    assert_eq!(refusal.left, Amount::ZERO);
    let uncapped = Charge { account: account.clone(), cap: None, amount: Amount::MAX };
    let result = fixture.try_reserve("2", &[uncapped]).await;
    assert!(matches!(result, Err(LedgerError::Store(_))), "{result:?}");
    assert_eq!(fixture.charged(&account).await, Amount::MAX.get());
    // A settlement that cannot be counted is refused too, and the reservation stays.
    let other = tokens("key#b");
    fixture.reserve("3", &[charge(&other, most, 5), charge(&tokens("key#c"), 9, 1)]).await;
    fixture.reserve("4", &[charge(&other, most, most - most / 2 - 6)]).await;
    let result = fixture.try_settle("3", &[most, 0]).await;
    assert!(matches!(result, Err(LedgerError::Store(_))), "{result:?}");
    assert_eq!(fixture.charged(&tokens("key#c")).await, 1);
    fixture.settle("3", &[5, 0]).await;
}

/// A call that breaks a rule changes nothing.
pub async fn bad_reservations_are_refused(fixture: &Fixture) {
    let account = tokens("key#a");
    let many: Vec<_> =
        (0..=MAX_CHARGES).map(|number| charge(&tokens(&number.to_string()), 9, 1)).collect();
    let long = tokens(&"x".repeat(MAX_LEDGER_NAME + 1));
    for (id, charges) in [
        ("1", vec![]),
        ("1", many),
        ("1", vec![charge(&account, 9, 1), charge(&account, 9, 1)]),
        ("1", vec![charge(&tokens(""), 9, 1)]),
        ("1", vec![charge(&long, 9, 1)]),
        (long.name.as_str(), vec![charge(&account, 9, 1)]),
    ] {
        let result = fixture.try_reserve(id, &charges).await;
        assert!(matches!(result, Err(LedgerError::Invalid { .. })), "{result:?}");
    }
    let (id, now) = (reservation("1"), fixture.now());
    let result = fixture.ledger.reserve(&id, &[charge(&account, 9, 1)], now, now).await;
    assert!(matches!(result, Err(LedgerError::Invalid { .. })), "{result:?}");
    assert_eq!(fixture.charged(&account).await, 0);
    assert_eq!(amounts(&[1])[0].get(), 1);
}
