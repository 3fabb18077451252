//! What is known of the instance, and what a beat says of it. Pure.

use diogenes_core::fleet::{BeatStatus, Phase};

/// What the tasks of the agent have found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// How far the boot is, by the inference server's log.
    pub(crate) phase: Phase,
    /// Whether its health path has answered 200.
    pub(crate) ready: bool,
    /// Why it counts as unhealthy, while its health check fails.
    pub(crate) failing: Option<String>,
    /// How it ended.
    pub(crate) ended: Option<String>,
    /// The provider's word that it takes the instance back.
    pub(crate) interrupted: Option<String>,
    /// Why the instance ends, or the agent.
    pub(crate) ending: Option<String>,
}

impl Facts {
    /// An instance that has just come up.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Boot,
            ready: false,
            failing: None,
            ended: None,
            interrupted: None,
            ending: None,
        }
    }

    /// What a beat says. What ends the use of the instance soonest comes first.
    pub(crate) fn status(&self, base_url: &str) -> BeatStatus {
        if let Some(reason) = self.ended.as_ref().or(self.ending.as_ref()) {
            return BeatStatus::Unhealthy { reason: reason.clone() };
        }
        if let Some(reason) = &self.failing {
            return BeatStatus::Unhealthy { reason: reason.clone() };
        }
        if let Some(reason) = &self.interrupted {
            return BeatStatus::Interrupted { reason: reason.clone() };
        }
        if self.ready {
            return BeatStatus::Ready { base_url: base_url.to_owned() };
        }
        BeatStatus::Booting { phase: self.phase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_use_soonest_is_told_first() {
        let text = |text: &str| Some(text.to_owned());
        let unhealthy = |reason: &str| BeatStatus::Unhealthy { reason: reason.into() };
        let mut facts = Facts::new();
        let status = |facts: &Facts| facts.status("http://10.0.0.1:8000");

        assert_eq!(status(&facts), BeatStatus::Booting { phase: Phase::Boot });
        facts.phase = Phase::Weights;
        assert_eq!(status(&facts), BeatStatus::Booting { phase: Phase::Weights });
        facts.ready = true;
        assert_eq!(status(&facts), BeatStatus::Ready { base_url: "http://10.0.0.1:8000".into() });
        facts.interrupted = text("spot");
        assert_eq!(status(&facts), BeatStatus::Interrupted { reason: "spot".into() });
        facts.failing = text("no answer");
        assert_eq!(status(&facts), unhealthy("no answer"));
        facts.ending = text("too old");
        assert_eq!(status(&facts), unhealthy("too old"));
        facts.ended = text("exited");
        assert_eq!(status(&facts), unhealthy("exited"));
    }
}
