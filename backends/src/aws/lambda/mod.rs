//! [`ScaleTrigger`](diogenes_core::ports::ScaleTrigger) by an asynchronous invocation of the
//! orchestrator.

mod trigger;

#[cfg(test)]
mod tests;

pub use trigger::InvokeTrigger;
