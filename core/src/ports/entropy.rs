/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with bytes fit for secrets (cryptographically secure, except in the
    /// seeded source of the simulation).
    fn fill(&self, buffer: &mut [u8]);
}
