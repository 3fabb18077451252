//! Progress: bars; and of the start of a model a spinner on a terminal, otherwise a line per phase.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diogenes_api::control::ModelState;
use diogenes_core::fleet::Standing;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{controls, output, time};
use crate::client::Boot;

/// Tells the person at the terminal how far `what` is, until it is dropped.
pub(super) struct Progress {
    what: String,
    bar: Option<ProgressBar>,
    shown: Arc<Mutex<Shown>>,
}

#[derive(Clone, Debug)]
struct Shown {
    boot: Option<Boot>,
    at: Instant,
}

impl Progress {
    /// Begins; `what` is the model's name.
    pub(super) fn begin(what: &str) -> Self {
        let shown = Arc::new(Mutex::new(Shown { boot: None, at: Instant::now() }));
        let bar = io::stderr().is_terminal().then(|| spinner(what, shown.clone()));
        Self { what: what.to_owned(), bar, shown }
    }

    /// The boot is so far.
    pub(super) fn tell(&mut self, boot: Boot) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = shown.boot.as_ref().is_none_or(|before| before.phase != boot.phase);
        if self.bar.is_none() && is_new {
            output::note(&format!("{}: {}", self.what, describe(&boot, Duration::ZERO)));
        }
        *shown = Shown { boot: Some(boot), at: Instant::now() };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A progress bar, where somebody looks.
pub(super) fn bar(length: u64, template: &str) -> Option<ProgressBar> {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let is_watched = io::stderr().is_terminal();
    let bar = is_watched.then(|| ProgressBar::new(length).with_style(style))?;
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}

/// How far a model is on its way to be ready; none if it is not on it.
pub(super) fn boot_of(state: &ModelState) -> Option<Boot> {
    let progress = state.progress.as_ref().filter(|_| state.standing == Standing::Starting)?;
    Some(Boot {
        phase: progress.phase.clone(),
        elapsed_s: progress.elapsed_s,
        eta_s: progress.eta_s,
    })
}

fn spinner(what: &str, shown: Arc<Mutex<Shown>>) -> ProgressBar {
    let boot = move |_: &ProgressState, w: &mut dyn std::fmt::Write| {
        let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let gone = shown.at.elapsed();
        let text = match &shown.boot {
            Some(boot) => controls::escaped(&describe(boot, gone)),
            None => format!("waiting, {}", time::exact(gone.as_secs_f64())),
        };
        // The line is drawn again in a moment.
        let _ = w.write_str(&text);
    };
    let style = ProgressStyle::with_template("{spinner} {prefix}: {boot}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style.with_key("boot", boot));
    bar.set_prefix(controls::escaped(what));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// `weights, 42s, about 1m 35s to go`; `gone` has passed since the report.
fn describe(boot: &Boot, gone: Duration) -> String {
    let gone = gone.as_secs_f64();
    let elapsed = time::exact(boot.elapsed_s + gone);
    match boot.eta_s.map(|eta| eta - gone) {
        Some(eta) if eta >= 0.5 => {
            format!("{}, {elapsed}, about {} to go", boot.phase, time::exact(eta))
        }
        Some(_) => format!("{}, {elapsed}, any moment now", boot.phase),
        None => format!("{}, {elapsed}", boot.phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_counts_down_between_reports() {
        let boot = |eta_s| Boot { phase: "weights".into(), elapsed_s: 42.0, eta_s };
        let after = |seconds, eta| describe(&boot(eta), Duration::from_secs(seconds));
        assert_eq!(after(0, Some(95.0)), "weights, 42s, about 1m 35s to go");
        assert_eq!(after(5, Some(95.0)), "weights, 47s, about 1m 30s to go");
        assert_eq!(after(5, Some(4.0)), "weights, 47s, any moment now");
        assert_eq!(after(5, None), "weights, 47s");
    }
}
