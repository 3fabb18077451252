use super::StatsError;

/// Holm's correction (Scandinavian Journal of Statistics 6, 1979, 65–70): p-values that may each be held against
/// the same α, so that the chance of one false alarm or more among them stays below it, however they depend on
/// one another. In the order given; each is at most 1 and not below what it was.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    if let Some(value) = p_values.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(StatsError::OutOfRange { name: "p", range: "from 0 to 1", value: *value });
    }
    let mut ranked: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let mut largest = 0.0_f64;
    for (rank, (_, p)) in ranked.iter_mut().enumerate() {
        largest = largest.max(*p * (p_values.len() - rank) as f64).min(1.0);
        *p = largest;
    }
    ranked.sort_by_key(|(place, _)| *place);
    Ok(ranked.into_iter().map(|(_, p)| p).collect())
}
