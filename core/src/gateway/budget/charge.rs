use std::fmt;

use super::cap::show;
use super::{Budget, BudgetId, BudgetScope};
use crate::Timestamp;
use crate::ports::{Amount, Charge, Refusal, Unit};

/// What an attempt uses, or the most that it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// Tokens of the prompt and of every answer.
    pub tokens: Amount,
    /// Its cost; none where the target has no price.
    pub nano_dollars: Option<Amount>,
}

impl Spending {
    fn of(&self, unit: Unit) -> Option<Amount> {
        match unit {
            Unit::Tokens => Some(self.tokens),
            Unit::NanoDollars => self.nano_dollars,
            Unit::Requests => Some(Amount::saturating(1)),
        }
    }
}

/// The target has no price, so a budget in money could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the target has no price, and {scope} has a budget in money; add a price, or use another target"
)]
pub struct Unpriced {
    pub scope: BudgetScope,
}

/// What to reserve for an attempt that can use `bound` at most: a charge for each of the `budgets`
/// that [count](Budget::counts) it.
///
/// `now` chooses the windows; it should never go back ([`LatestTime`](super::LatestTime)).
pub fn charges<'a>(
    budgets: impl IntoIterator<Item = &'a Budget>,
    bound: &Spending,
    now: Timestamp,
) -> Result<Vec<Charge>, Unpriced> {
    let charge = |budget: &Budget| {
        let amount = bound.of(budget.cap.unit());
        let amount = amount.ok_or_else(|| Unpriced { scope: budget.scope.clone() })?;
        Ok(Charge { account: budget.account(now), cap: Some(budget.cap.amount()), amount })
    };
    budgets.into_iter().map(charge).collect()
}

/// What to settle for an attempt that has `used` so much, in the order of its charges. What is not
/// known counts as reserved.
pub fn amounts(charges: &[Charge], used: &Spending) -> Vec<Amount> {
    let amount = |charge: &Charge| used.of(charge.account.unit).unwrap_or(charge.amount);
    charges.iter().map(amount).collect()
}

/// Why a budget refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can use more than the whole budget; it will never be accepted as it is.
    NeverFits,
    /// It fits if requests in flight turn out to use less than they might: a retry in a moment may
    /// succeed.
    WaitsForSettlements,
    /// What is left does not suffice until the budget starts anew or is raised.
    Exhausted,
}

/// A request that a budget refuses. Its text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverBudget {
    pub budget: BudgetId,
    pub verdict: Verdict,
    /// The whole budget.
    pub cap: Amount,
    /// What is left of it.
    pub left: Amount,
    /// The most that the request can use.
    pub needs: Amount,
    /// When it starts anew; none for a total.
    pub resets_at: Option<Timestamp>,
}

/// What a refusal by the ledger means, given the `budgets` and the `charges` that were made of
/// them; none if the account that refused belongs to no budget.
pub fn over_budget<'a>(
    budgets: impl IntoIterator<Item = &'a Budget>,
    charges: &[Charge],
    refusal: &Refusal,
) -> Option<OverBudget> {
    let account = &refusal.account;
    let is_of = |budget: &&Budget| {
        budget.cap.unit() == account.unit && budget.account_name() == account.name
    };
    let budget = budgets.into_iter().find(is_of)?;
    let needs = charges.iter().find(|charge| charge.account == *account)?.amount;
    let Refusal { cap, left, in_flight, resets_at, .. } = *refusal;
    let verdict = if needs > cap {
        Verdict::NeverFits
    } else if needs <= left.plus(in_flight) {
        Verdict::WaitsForSettlements
    } else {
        Verdict::Exhausted
    };
    Some(OverBudget { budget: budget.id(), verdict, cap, left, needs, resets_at })
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetId { scope, unit, period } = &self.budget;
        let [cap, left, needs] = [self.cap, self.left, self.needs].map(|one| show(one, *unit));
        let per = period.phrase();
        match self.verdict {
            Verdict::NeverFits => write!(
                f,
                "the request may use {needs}, but the whole budget of {scope} is {cap} {per}; \
                 shorten it or lower its `max_tokens`"
            ),
            Verdict::WaitsForSettlements => write!(
                f,
                "the request may use {needs}, and {left} of the budget of {scope} ({cap} {per}) \
                 are left while other requests are in flight; try again once they have ended"
            ),
            Verdict::Exhausted => {
                write!(
                    f,
                    "the request may use {needs}, but only {left} of the budget of {scope} \
                     ({cap} {per}) are left"
                )?;
                match self.resets_at {
                    Some(at) => write!(f, "; it resets at {at}"),
                    None => f.write_str("; ask for a larger budget"),
                }
            }
        }
    }
}

impl std::error::Error for OverBudget {}

/// Four fifths of a budget are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub budget: BudgetId,
    pub cap: Amount,
    /// What is used, with what is reserved.
    pub charged: Amount,
    pub resets_at: Option<Timestamp>,
}

/// The share of a budget at which it warns.
const WARN_PERCENT: u128 = 80;

/// The warning of a budget whose account stood at `before` when the caller looked last, and now
/// stands at `after`: none unless it has passed 80 % in between.
///
/// What is reserved may fall again when it is settled, and several processes look at one account,
/// so one window may pass the mark several times;
/// [`Budgets::is_first`](super::Budgets::is_first) tells the first of its warnings.
pub fn warning(budget: &Budget, before: Amount, after: Amount, now: Timestamp) -> Option<Warning> {
    let cap = budget.cap.amount();
    let is_near =
        |amount: Amount| u128::from(amount.get()) * 100 >= u128::from(cap.get()) * WARN_PERCENT;
    (is_near(after) && !is_near(before)).then(|| Warning {
        budget: budget.id(),
        cap,
        charged: after,
        resets_at: budget.period.ends_at(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::budget::Period;
    use crate::keys::KeyId;
    use crate::ports::Account;

    fn budget(id: &str, cap: &str) -> Budget {
        let BudgetId { scope, period, .. } = id.parse().unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let project = Some("team-a".parse().unwrap());
        let cap = cap.parse().unwrap();
        let budget = Budget { scope, period, cap, project, created_at: at, updated_at: at };
        assert_eq!(budget.id().to_string(), id);
        budget
    }

    fn now() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    fn spending(tokens: u64, nano_dollars: u64) -> Spending {
        let [tokens, nano_dollars] = [tokens, nano_dollars].map(Amount::saturating);
        Spending { tokens, nano_dollars: Some(nano_dollars) }
    }

    #[test]
    fn each_budget_that_counts_a_request_is_charged_in_its_unit() {
        let budgets = [
            budget("key/a/usd/day", "$1"),
            budget("key/a/usd/month", "$20"),
            budget("project/team-a/tokens/total", "2M"),
            budget("route/chat/usd/day", "$3"),
            budget("key/b/usd/day", "$1"),
            budget("route/other/usd/day", "$1"),
        ];
        let (key, project) = (KeyId::from_caller("a"), "team-a".parse().unwrap());
        let route = "chat".parse().unwrap();
        let counting = || budgets.iter().filter(|one| one.counts(&key, &project, Some(&route)));
        let bound = spending(500, 7_000);
        let charges = charges(counting(), &bound, now()).unwrap();
        let end: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let accounts = [
            // Both end together, and are two accounts.
            Account::window("key#a#day", Unit::NanoDollars, end),
            Account::window("key#a#month", Unit::NanoDollars, end),
            Account::lasting("project#team-a#total", Unit::Tokens),
            Account::window("route#chat#day", Unit::NanoDollars, end),
        ];
        let caps = [1_000_000_000, 20_000_000_000, 2_000_000, 3_000_000_000];
        let amounts_bound = [7_000, 7_000, 500, 7_000];
        assert_eq!(charges.len(), 4);
        for (place, charge) in charges.iter().enumerate() {
            assert_eq!(charge.account, accounts[place]);
            assert_eq!(charge.cap, Some(Amount::saturating(caps[place])));
            assert_eq!(charge.amount, Amount::saturating(amounts_bound[place]));
        }
        let used = amounts(&charges, &spending(30, 900));
        assert_eq!(used, [900, 900, 30, 900].map(Amount::saturating));
        let unknown = Spending { tokens: Amount::saturating(30), nano_dollars: None };
        assert_eq!(amounts(&charges, &unknown), [7_000, 7_000, 30, 7_000].map(Amount::saturating));
    }

    #[test]
    fn target_without_a_price_is_refused_under_a_budget_in_money_only() {
        let bound = Spending { tokens: Amount::saturating(9), nano_dollars: None };
        let tokens = budget("key/a/tokens/day", "2M");
        assert_eq!(charges([&tokens], &bound, now()).unwrap().len(), 1);
        let error = charges([&tokens, &budget("key/a/usd/day", "$1")], &bound, now()).unwrap_err();
        assert!(error.to_string().starts_with("the target has no price, and key `a` has"));
    }

    #[test]
    fn refusals_are_told_apart() {
        let budget = budget("key/a/usd/day", "$0.50");
        let refusal = |left, in_flight| Refusal {
            account: budget.account(now()),
            cap: budget.cap.amount(),
            left: Amount::saturating(left),
            in_flight: Amount::saturating(in_flight),
            resets_at: Period::Day.ends_at(now()),
        };
        for (needs, left, in_flight, verdict, text) in [
            (
                500_000_001,
                500_000_000,
                0,
                Verdict::NeverFits,
                "the request may use $0.500000001, but the whole budget of key `a` is $0.50 per \
                 day; shorten it or lower its `max_tokens`",
            ),
            (
                200_000_000,
                100_000_000,
                100_000_000,
                Verdict::WaitsForSettlements,
                "the request may use $0.20, and $0.10 of the budget of key `a` ($0.50 per day) are \
                 left while other requests are in flight; try again once they have ended",
            ),
            (
                200_000_000,
                100_000_000,
                99_999_999,
                Verdict::Exhausted,
                "the request may use $0.20, but only $0.10 of the budget of key `a` ($0.50 per \
                 day) are left; it resets at 2026-12-01T00:00:00Z",
            ),
        ] {
            let charges = charges([&budget], &spending(1, needs), now()).unwrap();
            let over = over_budget([&budget], &charges, &refusal(left, in_flight)).unwrap();
            assert_eq!((over.verdict, over.to_string().as_str()), (verdict, text));
        }
        let mut other = refusal(1, 1);
        other.account = Account::lasting("run#r", Unit::NanoDollars);
        assert_eq!(over_budget([&budget], &[], &other), None);
    }

    #[test]
    fn warning_comes_when_four_fifths_are_passed() {
        let budget = budget("project/team-a/tokens/month", "1000");
        let warned = |before, after| {
            let [before, after] = [before, after].map(Amount::saturating);
            warning(&budget, before, after, now()).is_some()
        };
        for (before, after, is_warned) in [
            (0, 799, false),
            (799, 800, true),
            (0, 5_000, true),
            (800, 801, false),
            (900, 700, false),
            (0, 0, false),
        ] {
            assert_eq!(warned(before, after), is_warned, "{before} to {after}");
        }
        let most = Budget { cap: super::super::Cap::tokens(Amount::MAX), ..budget.clone() };
        assert!(warning(&most, Amount::ZERO, Amount::MAX, now()).is_some());
    }
}
