use crate::report::{METRICS, Metric, Results};

/// What CPU per request may be at 32 connections, as a multiple of nginx's: of whom, in which
/// figure, at most.
const AIMS: [(&str, &str, f64); 4] = [
    ("diogenes", "c32 CPU µs", 1.5),
    ("diogenes messages", "c32 CPU µs", 2.5),
    ("diogenes messages", "c32 stream CPU µs", 2.5),
    ("diogenes recover", "c32 stream CPU µs", 2.5),
];

/// Which aims hold, and where another gateway is ahead of Diogenes: a line for each.
pub(crate) fn lines(results: &Results<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, figure, most) in AIMS {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == figure) else { continue };
        let ratio = results.ratio(name, "nginx", metric);
        if ratio.is_nan() {
            continue;
        }
        let word = if ratio <= most { "held" } else { "missed" };
        lines.push(format!("aim {word}: {name}, {figure}: {ratio:.2} × nginx's, at most {most}"));
    }
    for subject in results.subjects {
        let name = &subject.name;
        if name == "direct" || name == "nginx" || name.starts_with("diogenes") {
            continue;
        }
        let ours = if name.ends_with(" messages") { "diogenes messages" } else { "diogenes" };
        for metric in METRICS {
            let ratio = results.ratio(name, ours, &metric);
            if is_better(ratio, &metric) {
                lines.push(format!("ahead of {ours}: {name}, {}: {ratio:.2} × ours", metric.name));
            }
        }
    }
    lines
}

fn is_better(ratio: f64, metric: &Metric) -> bool {
    if metric.rate { ratio > 1.0 } else { ratio < 1.0 }
}
