use std::fmt::Write;
use std::path::Path;

use crate::load::{self, Kind, Load};
use crate::sse::{self, Streams};
use crate::subject::Subject;

/// One subject in one round.
pub(crate) struct Round {
    pub(crate) name: String,
    c1: Load,
    c32: Load,
    streamed: Load,
    streams: Streams,
    memory_mib: f64,
}

impl Round {
    pub(crate) async fn measure(
        subject: &Subject,
        folder: &Path,
        seconds: u32,
    ) -> anyhow::Result<Self> {
        let load = |connections, streamed| {
            load::measure(subject, folder, Kind { connections, streamed }, seconds)
        };
        Ok(Self {
            name: subject.name.clone(),
            c1: load(1, false)?,
            c32: load(32, false)?,
            streamed: load(32, true)?,
            streams: sse::measure(subject).await?,
            memory_mib: subject.memory_mib()?,
        })
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{:<17} c1 {:>6.0} r/s, c32 {:>6.0} r/s {:>6.1} µs CPU, streams {:>6.0} r/s {:>6.1} µs CPU, first chunk {:>6.0} µs, burst {:>8.0}/s",
            self.name,
            self.c1.requests_per_second,
            self.c32.requests_per_second,
            self.c32.cpu_us_per_request,
            self.streamed.requests_per_second,
            self.streamed.cpu_us_per_request,
            self.streams.first_chunk_us,
            self.streams.burst_chunks_per_second
        )
    }
}

/// A figure of the report.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Round) -> f64,
    decimals: usize,
    /// More is better.
    pub(crate) rate: bool,
}

const fn rate(name: &'static str, of: fn(&Round) -> f64) -> Metric {
    Metric { name, of, decimals: 0, rate: true }
}

const fn cost(name: &'static str, of: fn(&Round) -> f64, decimals: usize) -> Metric {
    Metric { name, of, decimals, rate: false }
}

/// Everything that is measured of a subject in a round.
pub(crate) const METRICS: [Metric; 14] = [
    rate("c1 requests/s", |round| round.c1.requests_per_second),
    cost("c1 p50 µs", |round| round.c1.p50_us, 0),
    cost("c1 p99 µs", |round| round.c1.p99_us, 0),
    cost("c1 CPU µs", |round| round.c1.cpu_us_per_request, 1),
    rate("c32 requests/s", |round| round.c32.requests_per_second),
    cost("c32 p50 µs", |round| round.c32.p50_us, 0),
    cost("c32 p99 µs", |round| round.c32.p99_us, 0),
    cost("c32 CPU µs", |round| round.c32.cpu_us_per_request, 1),
    rate("c32 streams/s", |round| round.streamed.requests_per_second),
    cost("c32 stream p50 µs", |round| round.streamed.p50_us, 0),
    cost("c32 stream CPU µs", |round| round.streamed.cpu_us_per_request, 1),
    cost("first chunk µs", |round| round.streams.first_chunk_us, 0),
    rate("burst chunks/s", |round| round.streams.burst_chunks_per_second),
    cost("memory MiB", |round| round.memory_mib, 1),
];

/// All rounds of all subjects.
pub(crate) struct Results<'a> {
    pub(crate) subjects: &'a [Subject],
    pub(crate) rounds: &'a [Round],
}

impl Results<'_> {
    /// The medians as a Markdown table with a line for each subject.
    pub(crate) fn table(&self) -> String {
        let mut text = header(&["version", "start ms"]);
        for subject in self.subjects {
            let start = subject.start.as_secs_f64() * 1e3;
            let _ = write!(text, "\n| {} | {} | {start:.0} |", subject.name, subject.version);
            for Metric { of, decimals, .. } in METRICS {
                let value = median(self.values(&subject.name, of));
                text.push_str(&cell(value, decimals));
            }
        }
        text
    }

    /// The same as multiples of nginx's.
    pub(crate) fn ratios(&self) -> String {
        let mut text = header(&[]);
        for subject in self.subjects {
            if subject.name == "direct" || subject.name == "nginx" {
                continue;
            }
            let _ = write!(text, "\n| {} |", subject.name);
            for metric in METRICS {
                text.push_str(&cell(self.ratio(&subject.name, "nginx", &metric), 2));
            }
        }
        text
    }

    /// The median of the rounds' own ratios, each of one round.
    pub(crate) fn ratio(&self, name: &str, to: &str, metric: &Metric) -> f64 {
        let (ours, theirs) = (self.values(name, metric.of), self.values(to, metric.of));
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
    }

    fn values(&self, name: &str, of: fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().filter(|round| round.name == name).map(of).collect()
    }
}

fn header(before: &[&str]) -> String {
    let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let names: Vec<&str> = before.iter().copied().chain(names).collect();
    format!("| | {} |\n|---{}|", names.join(" | "), "|--:".repeat(names.len()))
}

/// A dash where nothing can be told, such as CPU per request where none was answered in time.
fn cell(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!(" {value:.decimals$} |") } else { " – |".into() }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
