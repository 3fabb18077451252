//! The rules of the port that need no store.

use std::collections::HashSet;

use crate::Timestamp;
use crate::ports::{Amount, Charge, LedgerError, MAX_CHARGES, MAX_LEDGER_NAME, ReservationId};

pub(super) fn check(id: &ReservationId, charges: &[Charge]) -> Result<(), LedgerError> {
    if charges.is_empty() || charges.len() > MAX_CHARGES {
        return Err(invalid(&format!(
            "a reservation has 1 to {MAX_CHARGES} charges, not {}",
            charges.len()
        )));
    }
    let names = charges.iter().map(|charge| charge.account.name.as_str());
    if names.chain([id.as_str()]).any(|name| name.is_empty() || name.len() > MAX_LEDGER_NAME) {
        return Err(invalid(&format!(
            "ids of reservations and names of accounts have 1 to {MAX_LEDGER_NAME} bytes"
        )));
    }
    let mut seen = HashSet::new();
    match charges.iter().find(|charge| !seen.insert(&charge.account)) {
        Some(twice) => Err(invalid(&format!("`{}` is charged twice", twice.account))),
        None => Ok(()),
    }
}

pub(super) fn check_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), LedgerError> {
    if expires_at <= now {
        return Err(invalid("a reservation must expire in the future"));
    }
    Ok(())
}

pub(super) fn check_used(charges: &[Charge], used: &[Amount]) -> Result<(), LedgerError> {
    if used.len() != charges.len() {
        return Err(invalid("a settlement has one amount per charge"));
    }
    Ok(())
}

fn invalid(reason: &str) -> LedgerError {
    LedgerError::Invalid { reason: reason.into() }
}
