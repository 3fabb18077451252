//! Secrets as they stand.

use super::Fixture;

/// A secret is read as it was put, and shows nothing of itself.
pub async fn secret_is_read(f: &Fixture) {
    for secret in ["sk-1", "two words", "é=\"x\""] {
        (f.keep)(Some(secret));
        assert_eq!(f.read().await.as_deref(), Ok(secret));
        let read = f.source.read(&f.reference).await.unwrap();
        assert!(!format!("{read:?}").contains(secret), "{read:?}");
    }
}

/// A changed secret is read by the next call.
pub async fn every_call_reads_anew(f: &Fixture) {
    for secret in ["first", "second"] {
        (f.keep)(Some(secret));
        assert_eq!(f.read().await.as_deref(), Ok(secret));
    }
    (f.keep)(None);
    assert!(f.read().await.is_err());
    (f.keep)(Some("third"));
    assert_eq!(f.read().await.as_deref(), Ok("third"));
}

/// What is wrong reads on behind where the secret should be.
pub async fn missing_secret_is_told(f: &Fixture) {
    let problem = f.read().await.unwrap_err();
    assert!(problem.starts_with("does not exist"), "{} {problem}", f.reference);
}

/// A reference to another place is refused, whatever is there.
pub async fn other_places_are_refused(f: &Fixture) {
    (f.keep)(Some("sk-1"));
    for reference in &f.elsewhere {
        let problem = f.source.read(reference).await.map(drop).unwrap_err();
        assert!(problem.contains("AWS"), "{reference} {problem}");
    }
}
