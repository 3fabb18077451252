//! Looks at queues at a later time, by one-time schedules of EventBridge Scheduler.

mod looks;

#[cfg(test)]
mod tests;

pub use looks::{LaterLooks, ScheduleSettings};
