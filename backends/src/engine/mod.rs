//! An inference server as whoever starts it sees it: `diogenes serve` on its machine, the agent on
//! an instance.

pub mod secrets;
