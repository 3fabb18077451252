use serde::Deserialize;

/// How far a cold start is, as the comments of a held stream tell:
/// `: diogenes {"phase":"weights","elapsed_s":42,"eta_s":95}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Boot {
    pub(crate) phase: String,
    /// Seconds since it began.
    pub(crate) elapsed_s: f64,
    /// Seconds until the model is ready, where earlier boots tell.
    pub(crate) eta_s: Option<f64>,
}

impl Boot {
    /// Reads a comment. There are others: keep-alives, and the last one with the timings.
    pub(crate) fn of_comment(comment: &str) -> Option<Self> {
        let report = comment.trim().strip_prefix("diogenes ")?;
        serde_json::from_str(report).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comments_of_a_held_stream_are_understood() {
        assert_eq!(
            Boot::of_comment(r#" diogenes {"phase":"weights","elapsed_s":42,"eta_s":95}"#),
            Some(Boot { phase: "weights".into(), elapsed_s: 42.0, eta_s: Some(95.0) })
        );
        assert_eq!(
            Boot::of_comment(r#"diogenes {"phase":"launch","elapsed_s":0,"eta_s":null}"#),
            Some(Boot { phase: "launch".into(), elapsed_s: 0.0, eta_s: None })
        );
    }

    #[test]
    fn other_comments_are_none() {
        for comment in [
            "",
            " ping",
            " diogenes the replica refuses connections; waiting",
            r#" diogenes {"model":"demo","cold_start_ms":3500}"#,
        ] {
            assert_eq!(Boot::of_comment(comment), None, "{comment}");
        }
    }
}
