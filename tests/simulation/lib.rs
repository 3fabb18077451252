//! Nothing but tests: see `tests/gateway`.
