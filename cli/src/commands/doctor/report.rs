use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::output::{Paint, paint};

/// What the checks found.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Check>);

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warning,
    Failed,
}

impl Report {
    /// All is well.
    pub(super) fn ok(&mut self, name: &str, detail: impl Into<String>) {
        self.add(name, Status::Ok, detail.into(), None);
    }

    /// Worth a look; `next` says what to do.
    pub(super) fn warn(&mut self, name: &str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(name, Status::Warning, detail.into(), Some(next.into()));
    }

    /// It will not work so; `next` says what to do.
    pub(super) fn fail(&mut self, name: &str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(name, Status::Failed, detail.into(), Some(next.into()));
    }

    fn add(&mut self, name: &str, status: Status, detail: String, next: Option<String>) {
        self.0.push(Check { name: name.into(), status, detail, next });
    }

    pub(super) fn failures(&self) -> usize {
        self.0.iter().filter(|check| check.status == Status::Failed).count()
    }

    pub(super) fn to_value(&self) -> Value {
        json!({"ok": self.failures() == 0, "checks": self.0})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for (index, check) in self.0.iter().enumerate() {
            let (mark, colour) = match check.status {
                Status::Ok => ("✓", Paint::Green),
                Status::Warning => ("!", Paint::Yellow),
                Status::Failed => ("✗", Paint::Red),
            };
            let line_end = if index == 0 { "" } else { "\n" };
            let mark = paint(mark, colour, &std::io::stdout());
            write!(f, "{line_end}{mark} {:width$}  {}", check.name, check.detail)?;
            if let Some(next) = &check.next {
                write!(f, "\n  {:width$}  → {next}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_what_to_do() {
        let mut report = Report::default();
        report.ok("gpu", "none: models run on the CPU");
        report.warn("server", "nothing answers", "start it with `diogenes serve`");
        report.fail("admin.key", "readable by others", "chmod 600 admin.key");
        assert_eq!(report.failures(), 1);
        assert_eq!(
            report.to_string(),
            "✓ gpu        none: models run on the CPU\n\
             ! server     nothing answers\n             → start it with `diogenes serve`\n\
             ✗ admin.key  readable by others\n             → chmod 600 admin.key"
        );
        assert_eq!(report.to_value()["ok"], false);
        assert_eq!(
            report.to_value()["checks"][0],
            json!({
                "name": "gpu", "status": "ok", "detail": "none: models run on the CPU",
            })
        );
    }
}
