use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::ports::StoreError;

/// The most charges of one reservation: room for the budgets of a key, a project and a route, in
/// two units and three periods, and for as many other accounts.
pub const MAX_CHARGES: usize = 32;
/// The longest name of an account, and the longest id of a reservation, in bytes.
pub const MAX_LEDGER_NAME: usize = 512;

/// Sets amounts aside before they are used, and accounts for what was used.
///
/// At every moment the sum of what is settled and what is reserved in an account stays within the
/// cap that each reservation names, for any number of callers, processes and crashes. The one
/// exception is a settlement above its reservation: it is charged in full, and told as overshoot.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Sets aside every charge, or none: the first account that has not enough left refuses with
    /// [`LedgerError::Refused`].
    ///
    /// The same call again changes nothing, so a caller may repeat it after a lost answer. The
    /// same id with other charges is [`LedgerError::Differs`]; one that is settled already is
    /// [`LedgerError::Closed`].
    ///
    /// From `expires_at` on, a reservation that nobody has settled counts as used in full, as an
    /// estimate. No write is needed for that, so it holds from that moment on.
    async fn reserve(
        &self,
        id: &ReservationId,
        charges: &[Charge],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError>;

    /// Replaces what is reserved by what was `used`, per charge in the order of the reservation;
    /// once. Another settlement changes nothing and says so ([`Settlement::Repeated`]).
    ///
    /// A reservation that has expired may still be settled for [`GRACE`], which corrects the
    /// estimate. Later it is [`LedgerError::NotFound`], and the estimate stands.
    async fn settle(
        &self,
        id: &ReservationId,
        used: &[Amount],
        now: Timestamp,
    ) -> Result<Settlement, LedgerError>;

    /// What is settled and reserved in an account, with every call that had returned before. Zero
    /// for one that was never charged, or whose window ended more than [`GRACE`] ago.
    async fn charged(&self, account: &Account) -> Result<Amount, LedgerError>;

    /// Marks reservations that have expired by `now` as estimated, at most `most` of them, and
    /// returns those that this call has marked. Only reports depend on it.
    async fn sweep(&self, most: usize, now: Timestamp) -> Result<Vec<Estimate>, LedgerError>;
}

/// How long after its expiry a reservation may be settled, and how long after its end a window is
/// kept.
pub const GRACE: std::time::Duration = std::time::Duration::from_hours(24);

/// What an account counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Billionths of a US dollar.
    NanoDollars,
    /// Tokens of prompts and answers.
    Tokens,
    /// Requests.
    Requests,
}

impl Unit {
    /// The name in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NanoDollars => "nano_dollars",
            Self::Tokens => "tokens",
            Self::Requests => "requests",
        }
    }
}

/// A non-negative amount in the unit of its account, at most [`Amount::MAX`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount: nine billion dollars.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// This amount, or [`Amount::MAX`] if that is less.
    pub fn saturating(value: u64) -> Self {
        Self(value.min(Self::MAX.0))
    }

    /// The amount as a number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// As the stores count it; every amount fits.
    pub(crate) fn signed(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// The sum, at most [`Amount::MAX`].
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Amount> for u64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl TryFrom<u64> for Amount {
    type Error = &'static str;

    fn try_from(value: u64) -> Result<Self, Self::Error> {
        if value > Self::MAX.0 {
            Err("an amount is at most 9223372036854775807")
        } else {
            Ok(Self(value))
        }
    }
}

/// Something that amounts are charged to: a key, a project, a route, a run, one of their windows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    /// Its kind and id, such as `key#0f3a`.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// When it starts anew, for one that counts per window. The caller chooses the windows; each
    /// is an account of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

impl Account {
    /// An account that never starts anew.
    pub fn lasting(name: impl Into<String>, unit: Unit) -> Self {
        Self { name: name.into(), unit, ends_at: None }
    }

    /// The window of an account that ends at `ends_at`.
    pub fn window(name: impl Into<String>, unit: Unit, ends_at: Timestamp) -> Self {
        Self { name: name.into(), unit, ends_at: Some(ends_at) }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.unit.as_str())
    }
}

/// What one account is charged at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub account: Account,
    /// What may stand in it with this charge; none for an account that is only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Amount>,
    /// The most that can be used.
    pub amount: Amount,
}

/// The id of a reservation: a request and its attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReservationId(String);

impl ReservationId {
    /// The reservation of an attempt of a request.
    pub fn new(request: &str, attempt: u32) -> Self {
        Self(format!("{request}#{attempt}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a settlement did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// What was used stands in place of what was reserved.
    Done {
        /// Whether the reservation had expired, so that an estimate was corrected.
        late: bool,
        /// What was used above the reservation, per charge; zero for all in a sound caller.
        overshoot: Vec<Amount>,
    },
    /// It was settled before; nothing changed.
    Repeated {
        /// What stands, per charge.
        used: Vec<Amount>,
    },
}

/// A reservation that nobody settled: it counts as used in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub id: ReservationId,
    /// What is charged.
    pub charges: Vec<Charge>,
}

/// An account that has not enough left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{account}` has {left} of {cap} left")]
pub struct Refusal {
    pub account: Account,
    /// What may stand in it.
    pub cap: Amount,
    /// What is left of that.
    pub left: Amount,
    /// What of the rest is reserved and may come free when it is settled, as far as the ledger
    /// knows without further reads: a lower bound.
    pub in_flight: Amount,
    /// When its window starts anew; none for an account that does not.
    pub resets_at: Option<Timestamp>,
}

/// Why nothing was reserved or settled.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// An account has not enough left.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    /// The reservation does not exist, or expired more than [`GRACE`] ago.
    #[error("reservation `{0}` does not exist; its estimate stands if it has expired")]
    NotFound(ReservationId),
    /// Another reservation has the id.
    #[error("reservation `{0}` exists with other charges")]
    Differs(ReservationId),
    /// The reservation is settled.
    #[error("reservation `{0}` is settled already")]
    Closed(ReservationId),
    /// The call breaks a rule of the port; nothing was changed.
    #[error("{reason}")]
    Invalid { reason: String },
    /// The store failed. After [`StoreError::Unknown`] the call may be repeated.
    #[error("the ledger could not be read or written")]
    Store(#[from] StoreError),
}
