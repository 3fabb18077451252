//! [`Wake`](diogenes_core::ports::Wake) by an asynchronous invocation of the orchestrator, or of
//! the workers.

mod wake;

#[cfg(test)]
mod tests;

pub use wake::InvokeWake;
