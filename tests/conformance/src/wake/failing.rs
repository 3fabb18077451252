//! Wake-ups that cannot be sent.

use diogenes_core::ports::WakeError;

use super::{Fixture, topic};

/// Where nobody looks after the topic, the caller is told so.
pub async fn missing_receiver_is_told(f: &Fixture) {
    let error = f.orphan.wake(&topic("one")).await.unwrap_err();
    assert!(
        matches!(&error, WakeError::NoReceiver { topic: of, .. } if *of == topic("one")),
        "{error:?}"
    );
}

/// A fault that passes is told as one.
pub async fn passing_fault_is_told(f: &Fixture) {
    let Some(faulty) = &f.faulty else { return };
    let error = faulty.wake(&topic("one")).await.unwrap_err();
    assert!(
        matches!(&error, WakeError::Transient { topic: of, .. } if *of == topic("one")),
        "{error:?}"
    );
}
