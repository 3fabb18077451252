//! Student's t distribution with a whole number of degrees of freedom.

use std::f64::consts::{FRAC_2_PI, PI};

use super::normal;

/// How likely a value is at most `t`, by the finite sums of Abramowitz and Stegun, 26.7.3 and
/// 26.7.4. Exact to some 1e-14.
pub fn cdf(t: f64, degrees: u64) -> f64 {
    f64::midpoint(1.0, central(t.abs(), degrees).copysign(t))
}

/// The value that is not exceeded with probability `p`, for `p` from 0.5 to below 1.
///
/// Newton's method. The function is concave on this side, so that from the normal quantile, which
/// is too small, each step comes closer from below.
pub fn quantile(p: f64, degrees: u64) -> f64 {
    let mut t = normal::quantile(p);
    for _ in 0..200 {
        let step = (p - cdf(t, degrees)) / density(t, degrees);
        t += step;
        if step.abs() <= 1e-15 * t.abs() {
            break;
        }
    }
    t
}

/// How likely a value is between `-t` and `t`.
fn central(t: f64, degrees: u64) -> f64 {
    let freedom = degrees as f64;
    let angle = (t / freedom.sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let square = cosine * cosine;
    if degrees % 2 == 1 {
        let mut term = if degrees > 1 { cosine } else { 0.0 };
        let mut sum = 0.0;
        for k in 1..=degrees / 2 {
            sum += term;
            let k = k as f64;
            term *= square * 2.0 * k / (2.0 * k + 1.0);
            if term < 1e-18 * sum {
                break;
            }
        }
        FRAC_2_PI * (angle + sine * sum)
    } else {
        let mut term = 1.0;
        let mut sum = 0.0;
        for k in 1..=degrees / 2 {
            sum += term;
            let k = k as f64;
            term *= square * (2.0 * k - 1.0) / (2.0 * k);
            if term < 1e-18 * sum {
                break;
            }
        }
        sine * sum
    }
}

fn density(t: f64, degrees: u64) -> f64 {
    let freedom = degrees as f64;
    let scale = libm::lgamma(f64::midpoint(freedom, 1.0)) - libm::lgamma(freedom / 2.0);
    (scale - f64::midpoint(freedom, 1.0) * (t * t / freedom).ln_1p()).exp() / (freedom * PI).sqrt()
}
