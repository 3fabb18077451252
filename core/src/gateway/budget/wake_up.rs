use std::fmt;
use std::time::Duration;

use super::Spending;
use super::cap::show;
use crate::Timestamp;
use crate::fleet::eta::since;
use crate::fleet::{Control, Model};
use crate::name::ModelName;
use crate::ports::{Account, Amount, Charge, Unit};

/// After how long a model that does not become ready may cost its routes as much again; the account
/// must end at some time.
const WINDOW: Duration = Duration::from_hours(30 * 24);

/// What the other targets of a route may cost while a model of it starts: from when the model was
/// last ready, or was registered, until it is ready again. Starts that fail in between do not
/// renew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUp {
    pub route: ModelName,
    /// The model that starts.
    pub model: ModelName,
    pub cap: Amount,
    account: Account,
}

impl WakeUp {
    /// That of a model as it stands `now`.
    pub fn of(
        (route, cap): (&ModelName, Amount),
        model: &Model,
        control: &Control,
        now: Timestamp,
    ) -> Self {
        let began = control.ready_at.unwrap_or(model.created_at);
        let gone = since(began, now).as_secs() / WINDOW.as_secs();
        let windows = u32::try_from(gone.saturating_add(1)).unwrap_or(u32::MAX);
        let ends_at = began.saturating_add(WINDOW.saturating_mul(windows));
        let ends_at = ends_at.unwrap_or(Timestamp::MAX);
        let name = format!("wake-up#{route}#{}#{}", model.name, began.as_microsecond());
        let account = Account::window(name, Unit::NanoDollars, ends_at);
        Self { route: route.clone(), model: model.name.clone(), cap, account }
    }

    /// What to reserve for an attempt that can use `bound` at most; none where its cost is not
    /// known.
    pub fn charge(&self, bound: &Spending) -> Option<Charge> {
        let amount = bound.nano_dollars?;
        Some(Charge { account: self.account.clone(), cap: Some(self.cap), amount })
    }

    /// Whether an account is this one.
    pub fn is(&self, account: &Account) -> bool {
        self.account == *account
    }
}

/// Why nobody else answers while the model starts.
impl fmt::Display for WakeUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, model, cap, .. } = self;
        write!(
            f,
            "other targets may cost at most {} while `{model}` starts (`while_cold_budget` of route \
             `{route}`), and too little of that is left",
            show(*cap, Unit::NanoDollars)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{ModelSpec, Source};

    const DAY: Duration = Duration::from_hours(24);

    fn at(days: u32) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + DAY * days
    }

    fn wake_up(ready: Option<u32>, now: u32) -> WakeUp {
        let model = Model {
            name: "big".parse().unwrap(),
            spec: ModelSpec::new(["vllm"]),
            source: Source::Api,
            created_at: at(0),
            updated_at: at(0),
            deleted_at: None,
        };
        let mut control = Control::new(model.name.clone());
        control.ready_at = ready.map(at);
        let route: ModelName = "assistant".parse().unwrap();
        WakeUp::of((&route, Amount::saturating(5)), &model, &control, at(now))
    }

    #[test]
    fn an_account_lasts_until_the_model_is_ready_again() {
        let first = wake_up(None, 1);
        assert_eq!(first, wake_up(None, 2));
        assert_eq!(first.account.ends_at, Some(at(30)));
        assert_ne!(first, wake_up(Some(2), 2));
        assert_eq!(wake_up(Some(2), 3), wake_up(Some(2), 4));
    }

    #[test]
    fn an_account_never_has_expired() {
        for now in 0..100 {
            let ends_at = wake_up(None, now).account.ends_at.unwrap();
            assert!(ends_at > at(now) && ends_at <= at(now + 30), "{now}");
        }
    }

    #[test]
    fn what_has_no_price_cannot_be_charged() {
        let bound = |nano_dollars| Spending { tokens: Amount::ZERO, nano_dollars };
        assert_eq!(wake_up(None, 0).charge(&bound(None)), None);
        let charge = wake_up(None, 0).charge(&bound(Some(Amount::saturating(3)))).unwrap();
        assert_eq!(
            (charge.amount, charge.cap),
            (Amount::saturating(3), Some(Amount::saturating(5)))
        );
    }
}
