use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::sums::{check_scores, floor, sum};
use super::{MeanTest, StatsError};

/// Below so many clusters their standard error is itself uncertain (Cameron and Miller, "A
/// Practitioner's Guide to Cluster-Robust Inference", 2015, put the bound between 20 and 50).
pub const FEW_CLUSTERS: usize = 40;

/// Differences between candidate and baseline, in clusters: examples that are alike, such as questions
/// about one document, and so tell less than as many independent ones.
///
/// Nothing here depends on the order of the clusters, or of the differences in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// Each sorted, and all of them by sum and size.
    groups: Vec<Vec<f64>>,
    examples: usize,
}

/// How far a mean of clustered differences may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusteredMean {
    pub mean: f64,
    /// As if the examples were independent: s/√n.
    pub independent_error: f64,
    /// Miller, "Adding Error Bars to Evals" (arXiv 2411.00640), on the differences:
    /// SE² = s²/n + n⁻² Σ_c Σ_{i≠j∈c} (d_i−d̄)(d_j−d̄).
    pub standard_error: f64,
    /// What [`test`](Self::test) stands on, CR2: √(n⁻² Σ_c (Σ_{i∈c} d_i−d̄)²/(1−h_c)), where h_c is the share of
    /// the examples that are in cluster c. It makes up for residuals that are too small, above all in big clusters
    /// (Bell and McCaffrey, "Bias reduction in standard errors for linear regression with multi-stage samples", 2002).
    pub robust_error: f64,
    /// Of Student's t, rounded down; at equal sizes one less than there are clusters. See [`Clusters::mean`].
    pub degrees: u64,
    pub clusters: usize,
}

impl Clusters {
    /// `labels` has the cluster of each difference.
    pub fn new<L: Ord>(differences: &[f64], labels: &[L]) -> Result<Self, StatsError> {
        if differences.len() != labels.len() {
            return Err(StatsError::Lengths { left: differences.len(), right: labels.len() });
        }
        if differences.is_empty() {
            return Err(StatsError::TooFew { needed: 2, found: 0 });
        }
        check_scores(differences)?;
        let mut groups: BTreeMap<&L, Vec<f64>> = BTreeMap::new();
        for (difference, label) in differences.iter().zip(labels) {
            // Zero is added so that -0 is sorted, and added up, as 0.
            groups.entry(label).or_default().push(difference + 0.0);
        }
        if groups.len() < 2 {
            return Err(StatsError::OneCluster);
        }
        Ok(Self::of_groups(groups.into_values().collect()))
    }

    fn of_groups(mut groups: Vec<Vec<f64>>) -> Self {
        for group in &mut groups {
            group.sort_by(f64::total_cmp);
        }
        groups.sort_by(|one, other| {
            let totals = sum(one.iter().copied()).total_cmp(&sum(other.iter().copied()));
            totals.then_with(|| lexicographic(one, other))
        });
        let examples = groups.iter().map(Vec::len).sum();
        Self { groups, examples }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    pub fn examples(&self) -> usize {
        self.examples
    }

    /// The mean over examples, not over clusters, and how far it may be off.
    ///
    /// The degrees of freedom are those of Bell and McCaffrey (Satterthwaite's) as if the examples of a cluster were
    /// all the same. If they are not, there are more of them, but nobody knows how many.
    pub fn mean(&self) -> ClusteredMean {
        let examples = self.examples as f64;
        let mean = sum(self.groups.iter().flatten().copied()) / examples;
        let squares =
            sum(self.groups.iter().flatten().map(|difference| (difference - mean).powi(2)));
        let of_clusters = sum(self.deviations(mean).map(|(deviation, _)| deviation * deviation));
        let robust = self
            .deviations(mean)
            .map(|(deviation, size)| deviation * deviation / (1.0 - size as f64 / examples));
        let independent = squares / (examples * (examples - 1.0));
        // Σ_{i≠j} is the square of the sum less the sum of the squares.
        let together = (of_clusters - squares) / (examples * examples);
        ClusteredMean {
            mean,
            independent_error: independent.sqrt(),
            standard_error: (independent + together).max(0.0).sqrt(),
            robust_error: sum(robust).sqrt() / examples,
            degrees: self.degrees(),
            clusters: self.groups.len(),
        }
    }

    /// (Σλ)²/Σλ², where λ are the eigenvalues of the covariances of what is squared and added up for the robust
    /// error: the trace of the matrix, squared, over the sum of its squared elements. With the shares h_c of the
    /// clusters, w_c = 1/(1−h_c) and q = Σh², it has w_c h_c² (1 − 2h_c + q) on its diagonal, and elsewhere
    /// √(w_c w_e) h_c h_e (q − h_c − h_e).
    fn degrees(&self) -> u64 {
        let shares = || self.groups.iter().map(|group| group.len() as f64 / self.examples as f64);
        let q = sum(shares().map(|h| h * h));
        // w h², and with further powers of h.
        let moment = |power: i32| sum(shares().map(|h| h.powi(2 + power) / (1.0 - h)));
        let (zeroth, first, second) = (moment(0), moment(1), moment(2));
        let diagonal = |h: f64| h * h / (1.0 - h) * (1.0 - 2.0 * h + q);
        let all = q * q * zeroth * zeroth + 2.0 * zeroth * second - 4.0 * q * zeroth * first
            + 2.0 * first * first;
        let own = sum(shares().map(|h| (h * h / (1.0 - h) * (q - 2.0 * h)).powi(2)));
        let degrees = sum(shares().map(diagonal)).powi(2)
            / (sum(shares().map(|h| diagonal(h).powi(2))) + all - own);
        // Rounding must not take one off where it is whole.
        floor(degrees + 1e-6).clamp(1, (self.groups.len() as u64 - 1).max(1))
    }

    /// Σ_{i∈c} (d_i − mean) and the size of each cluster.
    pub(super) fn deviations(&self, mean: f64) -> impl Iterator<Item = (f64, usize)> + '_ {
        let deviation = move |group: &Vec<f64>| {
            (sum(group.iter().map(|difference| difference - mean)), group.len())
        };
        self.groups.iter().map(deviation)
    }

    pub(super) fn mirrored(&self) -> Self {
        let mirrored = |group: &Vec<f64>| group.iter().map(|difference| 0.0 - difference).collect();
        Self::of_groups(self.groups.iter().map(mirrored).collect())
    }

    /// All the differences, sorted.
    pub(super) fn sorted(&self) -> Vec<f64> {
        let mut all = self.groups.concat();
        all.sort_by(f64::total_cmp);
        all
    }
}

impl ClusteredMean {
    /// Student's t, on the robust error.
    pub fn test(&self) -> MeanTest {
        MeanTest { mean: self.mean, standard_error: self.robust_error, degrees: self.degrees }
    }

    /// (SE / SE_iid)²: how many times more examples are needed than if they were independent. `None` where all are
    /// equal.
    pub fn design_effect(&self) -> Option<f64> {
        (self.independent_error > 0.0)
            .then(|| (self.standard_error / self.independent_error).powi(2))
    }
}

/// Shorter lists first, then by the first place that differs.
pub(super) fn lexicographic(one: &[f64], other: &[f64]) -> Ordering {
    let places = one.iter().zip(other).map(|(left, right)| left.total_cmp(right));
    places.fold(one.len().cmp(&other.len()), Ordering::then)
}
