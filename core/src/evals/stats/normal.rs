//! The standard normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// Φ(x): how likely a value is at most `x`. Exact to some 1e-15 of itself, far out too.
pub fn cdf(x: f64) -> f64 {
    libm::erfc(-x / SQRT_2) / 2.0
}

/// Φ⁻¹(p): the value that is not exceeded with probability `p`; infinite at 0 and 1, NaN outside.
///
/// A first approximation (Abramowitz and Stegun, 26.2.23) is good to 4.5e-4; each step of Halley's
/// method triples its digits.
pub fn quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    let t = (-2.0 * p.ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut x = numerator / denominator - t;
    for _ in 0..4 {
        let step = (cdf(x) - p) / density(x);
        x -= step / (1.0 + x * step / 2.0);
    }
    x
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}
