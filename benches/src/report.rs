use std::fmt::Write;
use std::path::Path;

use anyhow::Context;

use crate::load::{self, Load};
use crate::sse::{self, Streams};
use crate::subject::Subject;

/// One subject in one round.
pub(crate) struct Round {
    name: &'static str,
    c1: Load,
    c32: Load,
    streams: Streams,
}

impl Round {
    pub(crate) async fn measure(
        subject: &Subject,
        folder: &Path,
        seconds: u32,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            name: subject.name,
            c1: load::measure(subject, folder, 1, seconds)?,
            c32: load::measure(subject, folder, 32, seconds)?,
            streams: sse::measure(subject).await?,
        })
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{:<9} c1 {:>6.0} r/s, c32 {:>6.0} r/s, {:>5.1} µs CPU, first chunk {:>5.0} µs, burst {:>8.0}/s",
            self.name,
            self.c1.requests_per_second,
            self.c32.requests_per_second,
            self.c32.cpu_us_per_request,
            self.streams.first_chunk_us,
            self.streams.burst_chunks_per_second
        )
    }
}

type Metric = (&'static str, fn(&Round) -> f64, usize);

const METRICS: [Metric; 10] = [
    ("c1 requests/s", |round| round.c1.requests_per_second, 0),
    ("c1 p50 µs", |round| round.c1.p50_us, 0),
    ("c1 p99 µs", |round| round.c1.p99_us, 0),
    ("c1 CPU µs/request", |round| round.c1.cpu_us_per_request, 1),
    ("c32 requests/s", |round| round.c32.requests_per_second, 0),
    ("c32 p50 µs", |round| round.c32.p50_us, 0),
    ("c32 p99 µs", |round| round.c32.p99_us, 0),
    ("c32 CPU µs/request", |round| round.c32.cpu_us_per_request, 1),
    ("SSE first chunk µs", |round| round.streams.first_chunk_us, 0),
    ("SSE burst chunks/s", |round| round.streams.burst_chunks_per_second, 0),
];

/// The medians side by side, as a Markdown table. The ratio is the median of the rounds' ratios
/// of Diogenes to nginx, each of one round.
pub(crate) fn table(subjects: &[Subject], rounds: &[Round]) -> String {
    let mut text = String::from("| |");
    for subject in subjects {
        let _ = write!(text, " {} |", subject.name);
    }
    text.push_str(" diogenes / nginx |\n|---|");
    text.push_str(&"--:|".repeat(subjects.len() + 1));
    for (name, metric, decimals) in METRICS {
        let _ = write!(text, "\n| {name} |");
        let of = |wanted: &str| -> Vec<f64> {
            rounds.iter().filter(|round| round.name == wanted).map(metric).collect()
        };
        for subject in subjects {
            let _ = write!(text, " {:.decimals$} |", median(of(subject.name)));
        }
        let (ours, theirs) = (of("diogenes"), of("nginx"));
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
        let _ = write!(text, " {:.2} |", median(ratios.collect()));
    }
    text
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The resident memory of a process.
pub(crate) fn memory_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib / 1024.0)
}
