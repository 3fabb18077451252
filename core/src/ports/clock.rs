use crate::Timestamp;

/// The wall clock of the control plane.
pub trait Clock: Send + Sync {
    /// The time now. It may jump (an operator sets the clock), so a difference that comes out
    /// negative counts as zero.
    fn now(&self) -> Timestamp;
}
