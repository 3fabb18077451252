//! What the domain needs from the world.
//!
//! Each trait states its guarantees (atomicity, repeat calls, missing items, units), and the
//! suites of `tests/conformance` hold every implementation to them.

mod blobs;
mod clock;
mod compute;
mod demand;
mod entropy;
mod ledger;
mod limiter;
mod logs;
mod secrets;
mod state_store;
mod wake;

pub use blobs::{BlobError, BlobKey, BlobWriter, Blobs, MAX_BLOB_KEY};
pub(crate) use clock::within;
pub use clock::{Clock, Timer};
pub use compute::{
    ComputeBackend, ComputeError, Exit, Instance, InstanceState, LaunchError, LaunchRequest,
};
pub use demand::{Demand, DemandSource, ReplicaDemand};
pub use entropy::Entropy;
pub use ledger::{
    Account, Amount, Charge, Estimate, GRACE, Ledger, LedgerError, MAX_CHARGES, MAX_LEDGER_NAME,
    Refusal, ReservationId, Settlement, Unit,
};
pub use limiter::{
    Admission, AdmitError, LimitExceeded, LimitKind, Limiter, Limits, RateStatus, RateWindow,
    TokenBound, TokenReservation,
};
pub use logs::{LogChunk, LogSource};
pub use secrets::SecretSource;
pub use state_store::{
    Bound, BoundReached, Conflict, Cursor, Direction, Expect, IndexKey, Item, Key, MAX_DEPTH,
    MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_PAGE, MAX_WRITES, Page, Query, StateStore, StoreError,
    Table, Version, Write, check_key, check_query, check_writes, document_bytes,
};
pub use wake::{Topic, Wake, WakeError};
