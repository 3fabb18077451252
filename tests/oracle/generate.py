"""What SciPy and statsmodels answer to the questions that `core/src/evals/stats` answers.

    generate.py FILE          writes the cases and the answers
    generate.py --check FILE  fails if FILE is not what would be written

`tests/oracle/run.sh` runs it with the versions of requirements.txt; the tests of `core` read the file. Where no
library has a function (Tango's interval, PPI++, the clustered error of Miller), the formula is written here a second
time, in another way, on SciPy's distributions and solvers.
"""

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests

# Plain multiples of 1/64 are the same in every language and need few digits.
GRID = 64


def numbers(random, size, scale=1.0):
    return (np.round(random.normal(0, scale, size) * GRID) / GRID).tolist()


def normal_cases():
    points = [-37.0, -20.0, -8.0, -3.0, -1.96, -0.5, -1e-9, 0.0, 0.1, 1.0, 2.5, 6.0]
    shares = [1e-300, 1e-100, 1e-20, 1e-9, 0.001, 0.025, 0.05, 0.3, 0.5, 0.7, 0.975, 0.999999]
    return {
        "cdf": [[x, float(stats.norm.cdf(x))] for x in points],
        "quantile": [[p, float(stats.norm.ppf(p))] for p in shares],
    }


def student_cases():
    degrees = [1, 2, 3, 4, 9, 10, 39, 40, 99, 1000, 20001]
    points = [-40.0, -3.5, -2.0, -0.1, 0.0, 0.7, 1.96, 5.0]
    shares = [0.5, 0.6, 0.95, 0.975, 0.995, 0.9999]
    return {
        "cdf": [[t, df, float(stats.t.cdf(t, df))] for df in degrees for t in points],
        "quantile": [[p, df, float(stats.t.ppf(p, df))] for df in degrees for p in shares],
    }


def mcnemar_cases():
    discordant = [
        (0, 0), (0, 1), (1, 0), (1, 7), (5, 15), (2, 12), (8, 8), (0, 30), (15, 16), (40, 70),
        (300, 350), (1000, 1000), (4800, 5200), (1, 900), (49_000, 50_000), (499_000, 500_500),
    ]  # fmt: skip
    cases = []
    for baseline, candidate in discordant:
        exact = mcnemar([[0, baseline], [candidate, 0]], exact=True).pvalue
        fewer, both = min(baseline, candidate), baseline + candidate
        middle = 2 * stats.binom.cdf(fewer, both, 0.5) - stats.binom.pmf(fewer, both, 0.5)
        cases.append([baseline, candidate, float(exact), float(min(middle, 1))])
    return cases


def tango(baseline, candidate, pairs, confidence):
    """By maximising the likelihood at each assumed difference, without the quadratic equation."""
    z = stats.norm.ppf((1 + confidence) / 2)

    def score(assumed):
        # The smaller of the two rates of discordant pairs; the other is greater by the size of `assumed`.
        size = abs(assumed)
        small, large = (baseline, candidate) if assumed >= 0 else (candidate, baseline)
        agree = pairs - baseline - candidate

        # The derivative of the log likelihood falls as the rate grows.
        def slope(rate):
            same = 1 - size - 2 * rate
            left = (small / rate if small else 0.0) + (large / (rate + size) if large else 0.0)
            return left - (2 * agree / same if agree else 0.0)

        low, high = 1e-18, (1 - size) / 2 * (1 - 1e-15)
        if low >= high or slope(low) <= 0:
            rate = 0.0
        elif slope(high) >= 0:
            rate = (1 - size) / 2
        else:
            rate = optimize.brentq(slope, low, high, xtol=1e-18, rtol=1e-15)
        variance = (2 * rate + size - size * size) / pairs
        distance = (candidate - baseline) / pairs - assumed
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    estimate = (candidate - baseline) / pairs
    ends = []
    for end, target in ((-1.0, z), (1.0, -z)):
        near, far = estimate, end * (1 - 1e-12)
        if abs(estimate) == 1 and estimate == end:
            ends.append(end)
            continue
        near += math.copysign(1e-13, end)
        ends.append(optimize.brentq(lambda d: score(d) - target, near, far, xtol=1e-15, rtol=1e-14))
    return ends


def tango_cases():
    tables = [
        (7, 1, 21), (25, 28, 618), (40, 20, 160), (0, 0, 10), (0, 0, 500), (0, 4, 100), (4, 0, 100), (3, 9, 32),
        (1, 1, 2), (120, 80, 1000), (900, 1000, 20000), (5, 5, 10), (0, 10, 10), (10, 0, 10),
    ]  # fmt: skip
    return [
        [*table, confidence, *tango(*table, confidence)] for table in tables for confidence in (0.9, 0.95, 0.99)
    ]


def bca_cases(random):
    """SciPy's interval from a distribution that is given, so that it is the same to the last digit."""
    cases = []
    samples = [numbers(random, 30), numbers(random, 200, 0.2), np.square(numbers(random, 25)).tolist()]
    samples.append(random.choice([0.0, 0.0, 0.0, 0.25, 1.0], 60).tolist())
    for differences in samples:
        data = np.array(differences)
        resamples = random.choice(data, (499, len(data))).mean(axis=1)
        given = SimpleNamespace(bootstrap_distribution=resamples)
        for confidence in (0.9, 0.95):
            interval = stats.bootstrap(
                (data, np.zeros_like(data)),
                lambda x, y, axis: np.mean(x - y, axis=axis),
                paired=True,
                vectorized=True,
                axis=-1,
                n_resamples=0,
                confidence_level=confidence,
                method="BCa",
                bootstrap_result=given,
            ).confidence_interval
            cases.append(
                {
                    "differences": differences,
                    "distribution": sorted(resamples.tolist()),
                    "confidence": confidence,
                    "interval": [float(interval.low), float(interval.high)],
                }
            )
    return cases


def bootstrap_cases(random):
    """Whole bootstraps, by seeds of NumPy: the same within Monte Carlo error only."""
    cases = []
    for differences in (numbers(random, 40), np.square(numbers(random, 60)).tolist(), numbers(random, 300, 0.5)):
        data = np.array(differences)
        found = stats.bootstrap(
            (data, np.zeros_like(data)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            paired=True,
            vectorized=True,
            axis=-1,
            n_resamples=100_000,
            batch=10_000,
            method="BCa",
            rng=np.random.default_rng(7),
        )
        test = stats.ttest_rel(data, np.zeros_like(data))
        cases.append(
            {
                "differences": differences,
                "t_interval": [float(end) for end in test.confidence_interval(0.95)],
                "t_worse": float(stats.ttest_rel(data, np.zeros_like(data), alternative="less").pvalue),
                "interval": [float(found.confidence_interval.low), float(found.confidence_interval.high)],
                "standard_error": float(found.standard_error),
            }
        )
    return cases


def clustered(random, clusters, largest):
    sizes = random.integers(1, largest + 1, clusters)
    labels = np.repeat(np.arange(clusters), sizes)
    common = np.array(numbers(random, clusters, 0.5))[labels]
    return common + np.array(numbers(random, len(labels), 0.5)) + 0.125, labels


def robust(differences, labels):
    """CR2 and its degrees of freedom, with the matrices of the paper (Bell and McCaffrey, 2002) as they stand there."""
    n = len(differences)
    names = np.unique(labels)
    members = [np.flatnonzero(labels == name) for name in names]
    annihilator = np.eye(n) - np.ones((n, n)) / n
    rows = []
    for member in members:
        block = annihilator[np.ix_(member, member)]
        values, vectors = np.linalg.eigh(block)
        adjusted = np.ones(len(member)) / n @ (vectors / np.sqrt(values)) @ vectors.T
        rows.append(adjusted @ annihilator[member])
    rows = np.array(rows)
    error = math.sqrt(((rows @ differences) ** 2).sum())
    degrees = []
    for covariance in (np.eye(n), np.equal.outer(labels, labels).astype(float)):
        eigenvalues = np.linalg.eigvalsh(rows @ covariance @ rows.T)
        degrees.append(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
    return error, max(1, math.floor(min(degrees) + 1e-6))


def cluster_cases(random):
    cases = []
    for clusters, largest in ((2, 3), (12, 6), (50, 10), (120, 4), (15, 0)):
        if largest:
            differences, labels = clustered(random, clusters, largest)
        else:
            # Of one size, where statsmodels has the same.
            differences, labels = np.array(numbers(random, 4 * clusters)), np.repeat(np.arange(clusters), 4)
        n = len(differences)
        error, degrees = robust(differences, labels)
        fit = sm.OLS(differences, np.ones(n)).fit(
            cov_type="cluster", cov_kwds={"groups": labels, "use_correction": True, "df_correction": True}, use_t=True
        )
        deviations = differences - differences.mean()
        pairs = np.equal.outer(labels, labels) & ~np.eye(n, dtype=bool)
        together = (np.outer(deviations, deviations) * pairs).sum() / n**2
        totals = np.array([differences[labels == label].sum() for label in range(clusters)])
        sizes = np.array([(labels == label).sum() for label in range(clusters)], dtype=float)
        resampled = stats.bootstrap(
            (totals, sizes),
            lambda total, size, axis: np.sum(total, axis=axis) / np.sum(size, axis=axis),
            paired=True,
            vectorized=True,
            axis=-1,
            n_resamples=50_000,
            batch=10_000,
            method="BCa",
            rng=np.random.default_rng(11),
        )
        cases.append(
            {
                "differences": differences.tolist(),
                "labels": labels.tolist(),
                "mean": float(fit.params[0]),
                "independent_error": float(stats.sem(differences)),
                "standard_error": float(math.sqrt(stats.sem(differences) ** 2 + together)),
                "robust_error": error,
                "degrees": degrees,
                "interval": [float(end) for end in stats.t.interval(0.95, degrees, fit.params[0], error)],
                "statsmodels": None if largest else [float(end) for end in fit.conf_int()[0]],
                "worse": float(stats.t.cdf(fit.params[0] / error, degrees)),
                "bootstrap": [float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)],
                "bootstrap_error": float(resampled.standard_error),
            }
        )
    return cases


def power_cases():
    cases = []
    for discordant in (0.05, 0.2, 0.5):
        for difference in (0.01, 0.03, 0.05):
            for confidence, power in ((0.95, 0.8), (0.9, 0.9)):
                alpha, beta = stats.norm.isf((1 - confidence) / 2), stats.norm.ppf(power)
                spread = math.sqrt(discordant - difference**2)
                pairs = ((alpha * math.sqrt(discordant) + beta * spread) / difference) ** 2
                # Solved for the difference at twice the pairs.
                detectable = optimize.brentq(
                    lambda d: alpha * math.sqrt(discordant)
                    + beta * math.sqrt(discordant - d * d)
                    - d * math.sqrt(2 * math.ceil(pairs)),
                    1e-9,
                    discordant,
                    xtol=1e-16,
                )
                cases.append([discordant, difference, confidence, power, math.ceil(pairs), detectable])
    return cases


def kappa_cases(random):
    tables = [
        [[40, 9], [6, 45]],
        [[0, 5], [3, 92]],
        [[20, 5, 1], [4, 30, 6], [0, 7, 27]],
        [[10, 0], [0, 10]],
        random.integers(0, 30, (5, 5)).tolist(),
    ]
    cases = []
    for table in tables:
        found = cohens_kappa(np.array(table, dtype=float))
        interval = [float(found.kappa_low), float(found.kappa_upp)]
        cases.append({"table": table, "kappa": float(found.kappa), "interval": interval})
    return cases


def correction_cases(random):
    cases = []
    for labels, others, noise in ((20, 400, 0.3), (50, 100, 0.8), (30, 300, 50.0), (12, 0, 0.3)):
        truth = random.normal(0.5, 0.4, labels + others)
        judged = np.round((0.6 * truth + 0.3 + random.normal(0, noise, len(truth)) * 0.4) * GRID) / GRID
        human = np.round(truth[:labels] * GRID) / GRID
        seen, rest = judged[:labels], judged[labels:]
        correlation = stats.pearsonr(human, seen).statistic
        weight = 0.0
        if others and abs(correlation) > 1 / math.sqrt(labels - 2):
            weight = np.cov(human, seen)[0, 1] / ((1 + labels / others) * judged.var(ddof=1))
        residuals = human - weight * seen
        mean = residuals.mean() + (weight * rest.mean() if others else 0.0)
        error = math.sqrt(residuals.var(ddof=1) / labels + (weight**2 * rest.var(ddof=1) / others if others else 0.0))
        interval = stats.t.interval(0.95, labels - 1, mean, error)
        cases.append(
            {
                "human": human.tolist(),
                "judged": seen.tolist(),
                "unlabelled": rest.tolist(),
                "weight": float(weight),
                "mean": float(mean),
                "standard_error": float(error),
                "interval": [float(end) for end in interval],
            }
        )
    return cases


def holm_cases(random):
    lists = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.2], [0.0, 1.0, 0.9], random.random(40).tolist()]
    return [[p, multipletests(p, method="holm")[1].tolist()] for p in lists]


def generate():
    random = np.random.default_rng(20_261_128)
    return {
        "normal": normal_cases(),
        "student": student_cases(),
        "mcnemar": mcnemar_cases(),
        "tango": tango_cases(),
        "bca": bca_cases(random),
        "bootstrap": bootstrap_cases(random),
        "clusters": cluster_cases(random),
        "power": power_cases(),
        "kappa": kappa_cases(random),
        "correction": correction_cases(random),
        "holm": holm_cases(random),
    }


def differs(one, other, path=""):
    """Where the two are not the same, but for the last digits, which differ between processors."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next((found for key in one if (found := differs(one[key], other[key], f"{path}.{key}"))), None)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other))
        return next((found for place, pair in pairs if (found := differs(*pair, f"{path}[{place}]"))), None)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        same = math.isclose(one, other, rel_tol=1e-10, abs_tol=1e-13)
    else:
        same = one == other
    return None if same else f"{path}: {one} and {other}"


def main():
    *options, path = sys.argv[1:]
    answers = json.loads(json.dumps(generate()))
    if options == ["--check"]:
        with open(path) as file:
            difference = differs(json.load(file), answers)
        if difference:
            sys.exit(f"{path} is not what generate.py writes: {difference}")
        return
    with open(path, "w") as file:
        # A line for each case.
        file.write("{\n")
        for place, (name, cases) in enumerate(answers.items()):
            lists = cases if isinstance(cases, dict) else {"": cases}
            file.write(f'{"," if place else ""}"{name}": ')
            parts = []
            for key, rows in lists.items():
                body = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
                parts.append(f'{json.dumps(key) + ": " if key else ""}[\n{body}\n]')
            file.write("{" + ",\n".join(parts) + "}\n" if isinstance(cases, dict) else parts[0] + "\n")
        file.write("}\n")


if __name__ == "__main__":
    main()
