use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::Timestamp;
use crate::fleet::{InstanceId, Placement};
use crate::ports::Exit;

/// How long an instance that has ended stays in the listing.
const REMEMBERED: Duration = Duration::from_hours(1);

/// The model of a cloud, without a clock or a wire: launch tokens as EC2 treats them, capacity
/// and quotas that run out where told, and a listing that lags.
///
/// [`FakeCompute`](super::FakeCompute) is its face as a port, `tests/fake-ec2` its face over
/// HTTP. `D` is what a face remembers of an instance: its tags, its user data.
#[derive(Debug)]
pub struct FakeCloud<D> {
    lag: Lag,
    instances: BTreeMap<InstanceId, CloudInstance<D>>,
    tokens: BTreeMap<String, Spent>,
    exhausted: Vec<Pool>,
    quotas: BTreeMap<String, u32>,
    next_id: u64,
}

/// How long the cloud takes to say what is so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// From a launch until the instance is found by the listing or by its id.
    pub listing: Duration,
    /// From the end of an instance until the listing begins to tell of it.
    pub ending: Duration,
    /// From then on until it is gone.
    pub shutdown: Duration,
}

/// What a token was used for.
#[derive(Debug)]
struct Spent {
    fingerprint: String,
    instance: InstanceId,
}

/// A wish for one instance.
#[derive(Clone, Debug)]
pub struct Order<D> {
    /// The idempotency token, where the caller sends one.
    pub token: Option<String>,
    /// Every parameter of the request in one text: two requests with one token must agree in it.
    pub fingerprint: String,
    /// Where it is wished for.
    pub place: Placement,
    /// Against which quota it counts, and how much.
    pub quota: (String, u32),
    /// What the face remembers of it.
    pub details: D,
}

/// Why there is no instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token was used with other parameters.
    ParameterMismatch,
    /// The token's instance is gone.
    InstanceTerminated,
    /// Nothing of this kind is left.
    NoCapacity,
    /// It would exceed a quota.
    QuotaExceeded {
        limit: u32,
        /// What instances that have not ended use of it.
        used: u32,
    },
}

/// Where capacity is missing: everything that fits all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// The label of the place; any when absent.
    pub label: Option<String>,
    /// Details of the place; one that is absent may be any.
    pub details: BTreeMap<String, Value>,
}

impl Pool {
    /// Every place with this label.
    pub fn of_type(label: &str) -> Self {
        Self { label: Some(label.to_owned()), ..Self::default() }
    }

    /// Only those with this detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    fn holds(&self, place: &Placement) -> bool {
        let mut details = self.details.iter();
        self.label.as_ref().is_none_or(|wanted| wanted == place.label())
            && details.all(|(name, wanted)| place.details().get(name) == Some(wanted))
    }
}

/// An instance of a [`FakeCloud`].
#[derive(Clone, Debug)]
pub struct CloudInstance<D> {
    pub id: InstanceId,
    /// Where it was launched.
    pub rung: Placement,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// When the listing begins to know it.
    pub listed_from: Timestamp,
    /// When it ended, and how.
    pub ended: Option<(Timestamp, Option<Exit>)>,
    /// Until when the listing goes on calling it running.
    pub running_until: Timestamp,
    /// When it is gone.
    pub gone_at: Timestamp,
    /// What the face remembers of it.
    pub details: D,
    quota: (String, u32),
}

/// How the cloud shows an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not yet, or not any more.
    Hidden,
    /// As running, though it may have ended since.
    Running,
    /// On its way out.
    ShuttingDown,
    /// As gone.
    Terminated,
}

impl<D> CloudInstance<D> {
    /// Whether it costs money.
    pub fn is_alive(&self) -> bool {
        self.ended.is_none()
    }

    /// How the listing shows it.
    pub fn shown(&self, now: Timestamp) -> Shown {
        let forgotten = self.gone_at.saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX) <= now;
        if now < self.listed_from || (self.ended.is_some() && forgotten) {
            Shown::Hidden
        } else if self.ended.is_none() || now < self.running_until {
            Shown::Running
        } else if now < self.gone_at {
            Shown::ShuttingDown
        } else {
            Shown::Terminated
        }
    }
}

impl<D: Clone> FakeCloud<D> {
    /// An empty cloud.
    pub fn new(lag: Lag) -> Self {
        Self {
            lag,
            instances: BTreeMap::new(),
            tokens: BTreeMap::new(),
            exhausted: Vec::new(),
            quotas: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// From now on it lags so much.
    pub fn set_lag(&mut self, lag: Lag) {
        self.lag = lag;
    }

    /// From now on there is no capacity in these places, and there is in all others.
    pub fn exhaust(&mut self, pools: Vec<Pool>) {
        self.exhausted = pools;
    }

    /// From now on the living instances that count against `name` use at most `limit` of it.
    pub fn set_quota(&mut self, name: &str, limit: u32) {
        self.quotas.insert(name.to_owned(), limit);
    }

    /// Launches one instance, or finds the one that the token has launched already.
    pub fn launch(
        &mut self,
        order: Order<D>,
        now: Timestamp,
    ) -> Result<&CloudInstance<D>, Refusal> {
        let spent = order.token.as_ref().and_then(|token| self.tokens.get(token));
        let id = match spent {
            Some(spent) => {
                if spent.fingerprint != order.fingerprint {
                    return Err(Refusal::ParameterMismatch);
                }
                spent.instance.clone()
            }
            None => self.begin(order, now)?,
        };
        match self.instances.get(&id) {
            Some(instance) if instance.is_alive() || now < instance.gone_at => Ok(instance),
            _ => Err(Refusal::InstanceTerminated),
        }
    }

    fn begin(&mut self, order: Order<D>, now: Timestamp) -> Result<InstanceId, Refusal> {
        let (name, units) = &order.quota;
        if let Some(&limit) = self.quotas.get(name) {
            let used = self
                .instances
                .values()
                .filter(|instance| instance.is_alive() && instance.quota.0 == *name)
                .map(|instance| instance.quota.1)
                .sum();
            if used + units > limit {
                return Err(Refusal::QuotaExceeded { limit, used });
            }
        }
        if self.exhausted.iter().any(|pool| pool.holds(&order.place)) {
            return Err(Refusal::NoCapacity);
        }
        self.next_id += 1;
        let id = InstanceId::new(format!("i-{:017x}", self.next_id));
        let instance = CloudInstance {
            id: id.clone(),
            rung: order.place,
            launched_at: now,
            listed_from: now.saturating_add(self.lag.listing).unwrap_or(Timestamp::MAX),
            ended: None,
            running_until: Timestamp::MAX,
            gone_at: Timestamp::MAX,
            details: order.details,
            quota: order.quota,
        };
        self.instances.insert(id.clone(), instance);
        if let Some(token) = order.token {
            self.tokens
                .insert(token, Spent { fingerprint: order.fingerprint, instance: id.clone() });
        }
        Ok(id)
    }

    /// Ends an instance, by itself or because it was asked to; no more if it has ended.
    pub fn end(&mut self, id: &InstanceId, exit: Option<Exit>, now: Timestamp) {
        let lag = self.lag;
        if let Some(instance) = self.instances.get_mut(id)
            && instance.ended.is_none()
        {
            instance.ended = Some((now, exit));
            instance.running_until = now.saturating_add(lag.ending).unwrap_or(Timestamp::MAX);
            instance.gone_at =
                instance.running_until.saturating_add(lag.shutdown).unwrap_or(Timestamp::MAX);
        }
    }

    /// All instances that there ever were, by age.
    pub fn instances(&self) -> impl Iterator<Item = &CloudInstance<D>> {
        self.instances.values()
    }

    /// One of them, whether it is shown or not.
    pub fn get(&self, id: &InstanceId) -> Option<&CloudInstance<D>> {
        self.instances.get(id)
    }
}

#[cfg(test)]
mod tests;
