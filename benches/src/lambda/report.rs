use std::fmt::Write;
use std::time::Duration;

use crate::process::Start;
use crate::subjects::{HELLO, ROUTER_CHAT, Subject};

/// The largest router, in MiB.
const ROUTER_MIB: f64 = 9.0;
/// The most memory of a router that streams, in MiB.
pub(crate) const STREAM_MIB: f64 = 24.0;

/// The starts of one program, one of each round, in the order of the rounds.
pub(crate) struct Starts<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) size_mib: f64,
    pub(crate) rounds: Vec<Start>,
}

impl Starts<'_> {
    /// The median over the rounds, in milliseconds.
    fn median(&self, of: fn(&Start) -> Duration) -> f64 {
        median(self.rounds.iter().map(|start| millis(of(start))))
    }

    /// The median over the rounds of what is more than another's of the same round.
    fn later_than(&self, other: &Self, of: fn(&Start) -> Duration) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(own, other)| millis(of(own)) - millis(of(other))))
    }
}

/// The medians as a Markdown table, and what is above its bound.
pub(crate) fn table(all: &[Starts<'_>]) -> (String, Vec<String>) {
    let mut text = String::from(
        "| | MiB | first `next`, ms | answered, ms | CPU, ms | later than hello, ms | at most |\n\
         |---|--:|--:|--:|--:|--:|--:|",
    );
    let mut broken = Vec::new();
    let Some(hello) = all.iter().find(|starts| starts.subject.name == HELLO) else {
        return (text, vec!["there is no hello".into()]);
    };
    for starts in all {
        let name = starts.subject.name;
        let later = starts.later_than(hello, |start| start.answered);
        let limit = starts.subject.limit_ms;
        let _ = write!(
            text,
            "\n| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} |",
            starts.size_mib,
            starts.median(|start| start.asked),
            starts.median(|start| start.answered),
            starts.median(|start| start.cpu),
            if name == HELLO { "–".to_owned() } else { format!("{later:.2}") },
            limit.map_or_else(|| "–".to_owned(), |limit| format!("{limit:.0}")),
        );
        // A difference that is not a number keeps no bound.
        if limit.is_some_and(|limit| later.is_nan() || later > limit) {
            broken.push(format!("{name} answers {later:.2} ms later than hello"));
        }
        if name == ROUTER_CHAT && starts.size_mib >= ROUTER_MIB {
            broken.push(format!("the router has {:.2} MiB", starts.size_mib));
        }
    }
    (text, broken)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
