//! [`Wake`](diogenes_core::ports::Wake) by an asynchronous invocation of the
//! orchestrator.

mod wake;

#[cfg(test)]
mod tests;

pub use wake::InvokeWake;
