//! What requests cost, and the budgets that they count against.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::later;
use diogenes_core::gateway::budget::{
    Budget, BudgetError, Budgets, LatestTime, OverBudget, Spending, Verdict, WakeUp, amounts,
    charges, over_budget, warning,
};
use diogenes_core::gateway::prices::{Price, PriceVersion, Priced};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Account, Amount, Charge, Clock, Ledger, LedgerError, ReservationId, Settlement as Settled, Unit,
};
use diogenes_core::tenancy::{Principal, ProjectId};
use tokio::time::Instant;

use super::bound::Most;
use super::destination::Destination;
use super::dispatch::Dispatcher;
use super::refusal;
use super::usage::Usage;
use crate::error::{ApiError, ErrorKind, ledger_error, store_error};
use crate::request_id;

/// How long the budgets of a project count as known. A change takes effect within this time.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// When a reservation that nobody has settled counts as used. One whose request is still under way
/// then is corrected when it ends.
const EXPIRES_AFTER: Duration = Duration::from_hours(1);

/// The prices and budgets of an installation.
pub struct Purse {
    budgets: Budgets,
    ledger: Arc<dyn Ledger>,
    dispatcher: Arc<Dispatcher>,
    clock: Arc<dyn Clock>,
    /// Those of projects, and those of routes.
    known: Mutex<BTreeMap<Option<ProjectId>, Known>>,
    /// Where each account stood when it was last looked at.
    seen: Mutex<HashMap<Account, Amount>>,
    latest: LatestTime,
}

#[derive(Clone)]
struct Known {
    budgets: Arc<[Budget]>,
    read: Instant,
}

/// What an attempt can use at most, set aside.
pub(super) struct Reservation {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// Whom the attempt is sent to.
    at: Destination,
    id: ReservationId,
    charges: Vec<Charge>,
    tariff: Tariff,
    service: Option<String>,
    /// The most that it can cost; none without a price, or where nothing bounds it.
    most: Option<Amount>,
}

/// Why nothing was set aside.
pub(super) enum NotReserved {
    /// A budget has not enough left, or cannot count it.
    ByBudget(ApiError),
    /// What others may cost while a model has no replica is used up, or cannot count it.
    ByWakeUp(ApiError),
}

/// What an attempt has used in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Tokens(Usage),
    /// Nobody can tell, so it counts as all that was set aside.
    Unknown,
}

/// What the tokens of a target cost.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tariff {
    Priced(Price, PriceVersion),
    /// A model of the fleet without a rate card.
    Free,
    /// A model of a provider that no list of prices has.
    Unknown,
}

impl From<Priced<'_>> for Tariff {
    fn from(priced: Priced<'_>) -> Self {
        Self::Priced(priced.price.clone(), priced.version)
    }
}

impl Tariff {
    fn is_priced(&self) -> bool {
        matches!(self, Self::Priced(..))
    }

    /// What so many tokens cost. What no amount holds is more than anybody has.
    fn cost(&self, usage: Usage, service: Option<&str>) -> Option<Amount> {
        self.amount(|price| price.cost(&usage.into(), service))
    }

    /// The most that a request can cost whose answers have at most so many tokens each.
    fn bound(&self, most: &Most, output: u64) -> Option<Amount> {
        let answers = u32::try_from(most.answers).unwrap_or(u32::MAX);
        self.amount(|price| price.bound(most.input, output, answers, most.service.as_deref()))
    }

    fn amount(&self, of: impl FnOnce(&Price) -> Option<Amount>) -> Option<Amount> {
        match self {
            Self::Priced(price, _) => Some(of(price).unwrap_or(Amount::MAX)),
            Self::Free => Some(Amount::ZERO),
            Self::Unknown => None,
        }
    }
}

impl Spent {
    pub(super) const NOTHING: Self = Self::Tokens(Usage::new(0, 0));
}

impl Purse {
    /// A purse over these parts. `dispatcher` knows what models cost.
    pub fn new(
        budgets: Budgets,
        ledger: Arc<dyn Ledger>,
        dispatcher: Arc<Dispatcher>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            budgets,
            ledger,
            dispatcher,
            clock,
            known: Mutex::default(),
            seen: Mutex::default(),
            latest: LatestTime::default(),
        }
    }

    /// The budgets that count a request. While the store does not answer, those that were known
    /// before stand.
    pub(super) async fn budgets_of(
        &self,
        by: &Principal,
        route: Option<&ModelName>,
    ) -> Result<Vec<Budget>, ApiError> {
        let counts = |budget: &&Budget| budget.counts(by.limit_key(), &by.project, route);
        let known = self.known_of(Some(&by.project)).await?;
        let mut budgets: Vec<Budget> = known.iter().filter(counts).cloned().collect();
        if route.is_some() {
            let known = self.known_of(None).await?;
            budgets.extend(known.iter().filter(counts).cloned());
        }
        Ok(budgets)
    }

    async fn known_of(&self, project: Option<&ProjectId>) -> Result<Arc<[Budget]>, ApiError> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = project.cloned();
        let known = lock().get(&owner).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.read.elapsed() < KNOWN_FOR) {
            return Ok(known.budgets.clone());
        }
        match (self.budgets.concerning(project).await, known) {
            (Ok(budgets), _) => {
                let budgets: Arc<[Budget]> = budgets.into();
                let known = Known { budgets: budgets.clone(), read: Instant::now() };
                lock().insert(owner, known);
                Ok(budgets)
            }
            (Err(error), Some(known)) => {
                let of = project.map_or_else(|| "routes".into(), |id| format!("project `{id}`"));
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the budgets of {of} could not be refreshed; those last read apply"
                );
                Ok(known.budgets)
            }
            (Err(BudgetError::Store(error)), None) => Err(store_error(&error)),
            (Err(error), None) => Err(ApiError::internal(&error)),
        }
    }

    /// Whether a request to a target may have a price.
    pub(super) fn may_price(&self, at: &Destination) -> bool {
        match at {
            Destination::Model(entry) => self.dispatcher.rate_card(entry).is_some(),
            Destination::Hosted(_) => true,
        }
    }

    /// Whether no request to a target can count against a budget: it is in money, and the target
    /// has no price since it is ours.
    pub(super) fn is_free_for(&self, budget: &Budget, at: &Destination) -> bool {
        budget.cap.unit() == Unit::NanoDollars && !self.may_price(at)
    }

    /// What a request to a target costs.
    fn tariff_of(&self, at: &Destination, now: Timestamp) -> Tariff {
        match at {
            Destination::Model(entry) => {
                let card = self.dispatcher.rate_card(entry);
                card.map_or(Tariff::Free, |card| Tariff::from(card.priced()))
            }
            Destination::Hosted(hosted) => self
                .dispatcher
                .prices()
                .price(hosted.provider(), hosted.spec(), hosted.model(), now)
                .map_or(Tariff::Unknown, Tariff::from),
        }
    }

    /// What a request is expected to cost at a target; none where nobody knows.
    pub(super) fn expected(&self, at: &Destination, usage: Usage) -> Option<Amount> {
        self.tariff_of(at, self.clock.now()).cost(usage, None)
    }

    /// Sets aside the most that an attempt at a target can use. None where there is neither a
    /// budget nor a price. `wake_up` counts what is answered while a model starts.
    ///
    /// # Errors
    /// When a budget has not enough left, or the target has no price that a budget could count.
    pub(super) async fn reserve(
        &self,
        budgets: &[Budget],
        wake_up: Option<&WakeUp>,
        most: &Most,
        at: &Destination,
    ) -> Result<Option<Reservation>, NotReserved> {
        let now = self.latest.at(self.clock.now());
        let tariff = self.tariff_of(at, now);
        let wake_up = wake_up.filter(|_| tariff != Tariff::Free);
        if budgets.is_empty() && wake_up.is_none() && !tariff.is_priced() {
            return Ok(None);
        }
        let is_free =
            |budget: &Budget| budget.cap.unit() == Unit::NanoDollars && tariff == Tariff::Free;
        if let Some(place) = most.unbounded.as_deref().filter(|_| !budgets.iter().all(is_free)) {
            // The price is newer than the request.
            return Err(NotReserved::ByBudget(refusal::unbounded(place)));
        }
        let output = most.output.unwrap_or_else(|| at.default_output());
        let tokens = Amount::saturating(most.tokens(output));
        let bound = Spending { tokens, nano_dollars: tariff.bound(most, output) };
        let unpriced =
            |problem| ApiError::new(ErrorKind::ModelUnpriced, problem).param("model").no_retry();
        let mut charges = charges(budgets, &bound, now)
            .map_err(|error| NotReserved::ByBudget(unpriced(error.to_string())))?;
        if let Some(wake_up) = wake_up {
            let charge = wake_up.charge(&bound).filter(|_| most.unbounded.is_none());
            let problem = || format!("nobody can tell what it would cost, and {wake_up}");
            charges.push(charge.ok_or_else(|| NotReserved::ByWakeUp(unpriced(problem())))?);
        }
        // Not the id of the request, which callers may choose, and use twice.
        let [high, low] = std::array::from_fn(|_| request_id::unique());
        let id = ReservationId::new(&format!("{high:016x}{low:016x}"), 0);
        if !charges.is_empty() {
            let expires_at = later(now, EXPIRES_AFTER);
            let reserved = self.ledger.reserve(&id, &charges, expires_at, now).await;
            reserved.map_err(|error| match (&error, wake_up) {
                (LedgerError::Refused(refusal), Some(wake_up)) if wake_up.is(&refusal.account) => {
                    let error = ApiError::new(ErrorKind::BudgetExceeded, wake_up.to_string());
                    NotReserved::ByWakeUp(error.no_retry())
                }
                _ => NotReserved::ByBudget(refused(&error, budgets, &charges)),
            })?;
        }
        let is_bound = tariff.is_priced() && most.unbounded.is_none();
        let most_cost = bound.nano_dollars.filter(|_| is_bound);
        let (ledger, clock) = (self.ledger.clone(), self.clock.clone());
        let service = most.service.clone();
        let at = at.clone();
        Ok(Some(Reservation { ledger, clock, at, id, charges, tariff, service, most: most_cost }))
    }

    /// Looks after the known budgets: warns of those of which four fifths are used. To be called
    /// from time to time.
    pub async fn look(&self) {
        let now = self.latest.at(self.clock.now());
        let known: Vec<Budget> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.values().flat_map(|known| known.budgets.iter().cloned()).collect()
        };
        for budget in known {
            let account = budget.account(now);
            let Ok(charged) = self.ledger.charged(&account).await else { continue };
            let before = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.retain(|account, _| account.ends_at.is_none_or(|end| end > now));
                seen.insert(account, charged).unwrap_or_default()
            };
            let Some(warning) = warning(&budget, before, charged, now) else { continue };
            // One of several processes tells.
            if self.budgets.is_first(&warning).await.unwrap_or(true) {
                tracing::warn!(
                    budget = %warning.budget, charged = warning.charged.get(),
                    cap = warning.cap.get(), "the budget `{}` is 80 % used", warning.budget
                );
            }
        }
    }
}

fn refused(error: &LedgerError, budgets: &[Budget], charges: &[Charge]) -> ApiError {
    let over = match error {
        LedgerError::Refused(refusal) => over_budget(budgets, charges, refusal),
        _ => None,
    };
    let Some(over) = over else { return ledger_error(error) };
    let OverBudget { verdict, left, resets_at, .. } = &over;
    let kind = match verdict {
        Verdict::NeverFits => ErrorKind::RequestExceedsBudget,
        Verdict::Exhausted => ErrorKind::BudgetExceeded,
        Verdict::WaitsForSettlements => ErrorKind::BudgetReserved,
    };
    let mut error = ApiError::new(kind, over.to_string())
        .header("x-diogenes-budget", over.budget.to_string())
        .header("x-diogenes-budget-left", left.to_string());
    if let Some(at) = resets_at {
        error = error.header("x-diogenes-budget-resets-at", at.to_string());
    }
    match verdict {
        Verdict::WaitsForSettlements => error.retry_after(Duration::from_secs(1)),
        Verdict::NeverFits | Verdict::Exhausted => error.no_retry(),
    }
}

impl Reservation {
    /// Whom the attempt is sent to.
    pub(super) fn at(&self) -> &Destination {
        &self.at
    }

    /// The most that the attempt can cost; none where the target has no price.
    pub(super) fn most(&self) -> Option<Amount> {
        self.most
    }

    /// What its price is from, if it has one.
    pub(super) fn price_version(&self) -> Option<&PriceVersion> {
        match &self.tariff {
            Tariff::Priced(_, version) => Some(version),
            Tariff::Free | Tariff::Unknown => None,
        }
    }

    /// What so many tokens cost; none where the target has no price.
    pub(super) fn cost(&self, usage: Usage) -> Option<Amount> {
        let cost = self.tariff.cost(usage, self.service.as_deref());
        cost.filter(|_| self.tariff.is_priced())
    }

    /// Replaces what was set aside by what was used.
    pub(super) async fn settle(self, spent: Spent) {
        if self.charges.is_empty() {
            return;
        }
        let used = match spent {
            Spent::Unknown => self.charges.iter().map(|charge| charge.amount).collect(),
            Spent::Tokens(usage) => {
                let nano_dollars = self.tariff.cost(usage, self.service.as_deref());
                let tokens = Amount::saturating(usage.total());
                amounts(&self.charges, &Spending { tokens, nano_dollars })
            }
        };
        match self.ledger.settle(&self.id, &used, self.clock.now()).await {
            Ok(Settled::Done { overshoot, .. }) => {
                if overshoot.iter().any(|amount| *amount > Amount::ZERO) {
                    tracing::warn!(
                        reservation = %self.id, ?overshoot,
                        "a request used more than was set aside for it; it was charged in full"
                    );
                }
            }
            Ok(Settled::Repeated { .. }) => {}
            Err(error) => tracing::warn!(
                reservation = %self.id, error = &error as &dyn std::error::Error,
                "what a request used could not be settled; it counts as everything that was set \
                 aside"
            ),
        }
    }
}
