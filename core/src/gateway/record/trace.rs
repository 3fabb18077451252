use std::fmt;

/// A trace: a number other than 0, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// A span of a trace: a number other than 0, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// Where a request stands in a trace (W3C Trace Context, level 1).
///
/// <https://www.w3.org/TR/trace-context/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePlace {
    pub trace: TraceId,
    /// The request itself.
    pub span: SpanId,
    /// What it is a part of; none where the trace begins with it.
    pub parent: Option<SpanId>,
    /// Whether the trace is kept.
    pub is_sampled: bool,
}

impl TraceId {
    /// The trace of these bits; of nothing but zeros there is none.
    pub fn new(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bits = is_hex(text, 32).then(|| u128::from_str_radix(text, 16).ok())??;
        Self::new(bits)
    }
}

impl SpanId {
    /// The span of these bits; of nothing but zeros there is none.
    pub fn new(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// Reads 16 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bits = is_hex(text, 16).then(|| u64::from_str_radix(text, 16).ok())??;
        Self::new(bits)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The share of the traces that begin here and are kept, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

/// A share that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be between 0 and 1, such as `0.1` for a tenth")]
pub struct InvalidShare;

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1.0);
    /// As many bits of a trace's id as decide.
    const RANDOM_BITS: u32 = 56;

    /// This share.
    ///
    /// # Errors
    /// When it is less than 0, more than 1, or not a number.
    pub fn new(share: f64) -> Result<Self, InvalidShare> {
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(InvalidShare) }
    }

    /// Whether a trace is among them. Everybody who goes by the same share keeps the same traces, as
    /// the last 56 bits of the id decide.
    ///
    /// <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>
    pub fn keeps(self, trace: TraceId) -> bool {
        let all = 1_u64 << Self::RANDOM_BITS;
        let random = u64::try_from(trace.0 & u128::from(all - 1)).unwrap_or_default();
        self.0 > 0.0 && random as f64 >= (1.0 - self.0) * all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shown_as_they_are_read() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(TraceId::parse(trace).unwrap().to_string(), trace);
        assert_eq!(SpanId::parse("00f067aa0ba902b7").unwrap().to_string(), "00f067aa0ba902b7");
        for bad in ["", "0", &"0".repeat(32), &trace.to_uppercase(), &format!("+{}", &trace[1..])] {
            assert_eq!(TraceId::parse(bad), None, "{bad}");
        }
        for bad in ["0000000000000000", "00f067aa0ba902b", "00f067aa0ba902bé"] {
            assert_eq!(SpanId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        for good in [0.0, 0.25, 1.0] {
            assert!(Share::new(good).is_ok());
        }
        for bad in [-0.1, 2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(bad), Err(InvalidShare));
        }
    }

    #[test]
    fn the_last_bits_of_a_trace_decide_whether_it_is_kept() {
        let keeps = |share, low: u128| Share::new(share).unwrap().keeps(TraceId((1 << 100) | low));
        let (least, most) = (0, (1 << 56) - 1);
        for id in [least, most / 2, most] {
            assert!(keeps(1.0, id));
            assert!(!keeps(0.0, id));
        }
        assert!(keeps(0.5, most) && !keeps(0.5, least));
        let quarter = (0..1000_u128).filter(|part| keeps(0.25, part * (most / 1000))).count();
        assert!((245..=255).contains(&quarter), "{quarter}");
    }
}
