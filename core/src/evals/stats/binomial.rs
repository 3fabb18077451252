//! Throws of a fair coin.

use std::f64::consts::{LN_2, PI};

/// The probability of exactly `k` heads in `n` throws, and that of at most `k`, where `k` is not
/// above `n / 2`. Good to 1e-12 of themselves for any `n`.
pub(super) fn fair(k: u64, n: u64) -> Heads {
    let exactly = ln_exactly(k, n).exp();
    // Going down from `k`, each term is that share of the one before: no sum of huge numbers.
    let (mut term, mut sum) = (exactly, exactly);
    for heads in (1..=k).rev() {
        term *= heads as f64 / (n - heads + 1) as f64;
        sum += term;
        if term <= sum * 1e-18 {
            break;
        }
    }
    Heads { exactly, at_most: sum.min(1.0) }
}

pub(super) struct Heads {
    pub(super) exactly: f64,
    pub(super) at_most: f64,
}

/// Loader, "Fast and accurate computation of binomial probabilities" (2000): the big parts of the
/// factorials cancel before they are computed.
fn ln_exactly(k: u64, n: u64) -> f64 {
    let (heads, throws) = (k as f64, n as f64);
    if k == 0 || k == n {
        return -throws * LN_2;
    }
    let tails = throws - heads;
    let half = throws / 2.0;
    stirling_error(throws)
        - stirling_error(heads)
        - stirling_error(tails)
        - deviance(heads, half)
        - deviance(tails, half)
        + (throws / (2.0 * PI * heads * tails)).ln() / 2.0
}

/// ln n! − ln(√(2πn) (n/e)ⁿ).
fn stirling_error(n: f64) -> f64 {
    if n <= 15.0 {
        return libm::lgamma(n + 1.0) - (n + 0.5) * n.ln() + n - (2.0 * PI).ln() / 2.0;
    }
    let square = n * n;
    let fifth = 1.0 / 1188.0 / square;
    let fourth = (1.0 / 1680.0 - fifth) / square;
    let third = (1.0 / 1260.0 - fourth) / square;
    let second = (1.0 / 360.0 - third) / square;
    (1.0 / 12.0 - second) / n
}

/// x ln(x/m) + m − x, without the loss of digits where both are close.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() + mean - x;
    }
    let ratio = difference / (x + mean);
    let square = ratio * ratio;
    let mut sum = difference * ratio;
    let mut term = 2.0 * x * ratio;
    for odd in (3_u32..2000).step_by(2) {
        term *= square;
        let next = sum + term / f64::from(odd);
        if (next - sum).abs() <= f64::EPSILON * sum.abs() / 4.0 {
            return next;
        }
        sum = next;
    }
    sum
}
