//! When the instance must end: a pure state machine. Every time is counted from the boot of the
//! machine, on a clock that also runs while it is suspended.

use std::fmt;
use std::time::Duration;

use diogenes_core::ports::Version;

/// How long an instance lives without its orders: enough for a slow metadata service, and
/// little enough that a machine nobody can talk to costs next to nothing.
pub const WITHOUT_ORDERS: Duration = Duration::from_mins(15);

/// What the control plane allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The instance ends so long after its boot, whatever happens.
    pub max_lifetime: Duration,
    /// The instance ends so long after the last new version of its lease.
    pub lease_timeout: Duration,
}

/// Why the instance ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody told it what to do.
    NoOrders,
    /// It is as old as it may grow.
    Lifetime(Duration),
    /// Its lease was not renewed for so long.
    Lease(Duration),
    /// The agent asked for it.
    Asked(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = diogenes_core::duration::format;
        match self {
            Self::NoOrders => {
                write!(f, "no usable user data was found for {}", text(WITHOUT_ORDERS))
            }
            Self::Lifetime(most) => {
                write!(f, "the instance has reached its age of {}", text(*most))
            }
            Self::Lease(most) => {
                write!(f, "the control plane did not renew the lease for {}", text(*most))
            }
            Self::Asked(reason) => f.write_str(reason),
        }
    }
}

/// The dead-man switch. It only ever says when to end, and no call of it fails.
#[derive(Clone, Debug)]
pub struct Switch {
    /// From when the lifetime counts.
    born: Duration,
    /// When this agent started.
    started: Duration,
    limits: Option<Limits>,
    lease: Option<(Version, Duration)>,
    asked: Option<(Duration, String)>,
}

impl Switch {
    /// A switch without limits yet, of an agent that starts `now` on a machine `born` then.
    pub fn new(born: Duration, now: Duration) -> Self {
        Self { born, started: now, limits: None, lease: None, asked: None }
    }

    /// Takes the control plane's limits in place of [`WITHOUT_ORDERS`].
    pub fn arm(&mut self, limits: Limits) {
        self.limits = Some(limits);
    }

    /// Notes that the lease stood in `version` at `at`. Only a version other than the last one
    /// counts.
    pub fn saw_lease(&mut self, version: Version, at: Duration) {
        if self.lease.as_ref().is_none_or(|(last, _)| *last != version) {
            self.lease = Some((version, at));
        }
    }

    /// Ends the instance at `at` if nothing ends it earlier. The first request stands.
    pub fn end_at(&mut self, at: Duration, reason: String) {
        self.asked.get_or_insert((at, reason));
    }

    /// When the instance ends if nothing more is heard, and why.
    pub fn end(&self) -> (Duration, Cause) {
        let limited = match self.limits {
            None => (self.started.saturating_add(WITHOUT_ORDERS), Cause::NoOrders),
            Some(Limits { max_lifetime, lease_timeout }) => {
                let lifetime = self.born.saturating_add(max_lifetime);
                let renewed = self.lease.as_ref().map_or(self.started, |(_, at)| *at);
                let lease = renewed.saturating_add(lease_timeout);
                if lifetime <= lease {
                    (lifetime, Cause::Lifetime(max_lifetime))
                } else {
                    (lease, Cause::Lease(lease_timeout))
                }
            }
        };
        match &self.asked {
            Some((at, reason)) if *at <= limited.0 => (*at, Cause::Asked(reason.clone())),
            Some(_) | None => limited,
        }
    }

    /// Why the instance must end now, if it must.
    pub fn due(&self, now: Duration) -> Option<Cause> {
        let (at, cause) = self.end();
        (now >= at).then_some(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn version(id: &str) -> Version {
        Version::new(id)
    }

    fn limits(max_lifetime: u64, lease_timeout: u64) -> Limits {
        Limits { max_lifetime: at(max_lifetime), lease_timeout: at(lease_timeout) }
    }

    /// Booted at 0; the agent started after 30 s.
    fn armed() -> Switch {
        let mut switch = Switch::new(at(0), at(30));
        switch.arm(limits(86_400, 900));
        switch
    }

    #[test]
    fn each_history_ends_at_its_time_for_its_reason() {
        type Step = fn(&mut Switch);
        let table: [(&str, &[Step], u64, Cause); 9] = [
            ("no lease at all", &[], 930, Cause::Lease(at(900))),
            ("a lease", &[|s| s.saw_lease(version("a"), at(100))], 1000, Cause::Lease(at(900))),
            (
                "the same version again",
                &[|s| s.saw_lease(version("a"), at(100)), |s| s.saw_lease(version("a"), at(900))],
                1000,
                Cause::Lease(at(900)),
            ),
            (
                "a new version",
                &[|s| s.saw_lease(version("a"), at(100)), |s| s.saw_lease(version("b"), at(900))],
                1800,
                Cause::Lease(at(900)),
            ),
            (
                "the lifetime ends before the lease",
                &[|s| s.saw_lease(version("a"), at(86_000))],
                86_400,
                Cause::Lifetime(at(86_400)),
            ),
            (
                "the agent asks",
                &[|s| s.end_at(at(200), "it crashed".into())],
                200,
                Cause::Asked("it crashed".into()),
            ),
            (
                "the agent asks twice",
                &[|s| s.end_at(at(200), "one".into()), |s| s.end_at(at(100), "two".into())],
                200,
                Cause::Asked("one".into()),
            ),
            (
                "the agent asks for later than the lease",
                &[|s| s.end_at(at(2000), "it crashed".into())],
                930,
                Cause::Lease(at(900)),
            ),
            (
                "limits beyond what a duration can count",
                &[
                    |s| s.arm(Limits { max_lifetime: Duration::MAX, lease_timeout: Duration::MAX }),
                    |s| s.end_at(at(50), "asked".into()),
                ],
                50,
                Cause::Asked("asked".into()),
            ),
        ];
        for (name, steps, end, cause) in table {
            let mut switch = armed();
            for step in steps {
                step(&mut switch);
            }
            assert_eq!(switch.end(), (at(end), cause.clone()), "{name}");
            assert_eq!(switch.due(at(end - 1)), None, "{name}");
            assert_eq!(switch.due(at(end)), Some(cause), "{name}");
        }
    }

    #[test]
    fn without_orders_the_time_counts_from_the_start_of_the_agent() {
        // A restarted agent on an old machine gets time to read its orders.
        let mut switch = Switch::new(at(0), at(50_000));
        assert_eq!(switch.end(), (at(50_900), Cause::NoOrders));
        switch.arm(limits(86_400, 900));
        assert_eq!(switch.end(), (at(50_900), Cause::Lease(at(900))));
    }

    #[test]
    fn a_restarted_agent_does_not_begin_the_lifetime_anew() {
        let mut switch = Switch::new(at(0), at(86_300));
        switch.arm(limits(86_400, 900));
        assert_eq!(switch.end(), (at(86_400), Cause::Lifetime(at(86_400))));
    }

    #[test]
    fn every_cause_reads_as_a_sentence() {
        for (cause, text) in [
            (Cause::NoOrders, "no usable user data was found for 15m"),
            (Cause::Lifetime(at(86_400)), "the instance has reached its age of 24h"),
            (Cause::Lease(at(900)), "the control plane did not renew the lease for 15m"),
        ] {
            assert_eq!(cause.to_string(), text);
        }
    }
}
