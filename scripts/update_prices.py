#!/usr/bin/env python3
"""Writes core/src/gateway/prices/snapshot.json from the data of genai-prices (MIT).

    python -m venv venv && venv/bin/pip install genai-prices==0.2.3
    venv/bin/python scripts/update_prices.py 2026-11-27

The argument is the day that the snapshot is of. The same version and day give the same bytes.

What is flattened, and how:
- Prices that have been superseded by that day are left out; those that start later keep their day.
- Where a price depends on the hour, the dearest counts at every hour.
- Service tiers (`priority`, `flex` …) become a percentage of the standard price, rounded up to the
  dearest of their rates. Batch prices are left out.
- Regular expressions become patterns: `*` is any text, `#` a digit; `not` lists exceptions.
- A model that is not priced by tokens of text and audio alone (images, pages, hours) has no price.
  Its entry stays where a later pattern would match it otherwise.
"""

import datetime
import importlib.metadata
import json
import math
import pathlib
import re
import sys
from decimal import Decimal
from fractions import Fraction

from genai_prices import types
from genai_prices.data import providers

# Where OpenAI- and Anthropic-like APIs are found, as patterns of their hosts.
HOSTS = {
    "anthropic": ["api.anthropic.com"],
    "cerebras": ["api.cerebras.ai"],
    "cohere": ["api.cohere.ai", "api.cohere.com"],
    "deepseek": ["api.deepseek.com"],
    "fireworks": ["api.fireworks.ai"],
    "google": ["*.googleapis.com"],
    "groq": ["api.groq.com"],
    "mistral": ["api.mistral.ai"],
    "moonshotai": ["api.moonshot.ai", "api.moonshot.cn"],
    "openai": ["api.openai.com"],
    "together": ["api.together.xyz"],
    "x-ai": ["api.x.ai"],
    "zai": ["api.z.ai"],
}
RATES = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_mtok": "output",
    "output_audio_mtok": "audio_output",
}
# Charged apart from tokens (hosted tools), or cheaper than what is charged instead.
IGNORED = {"web_searches_kcount", "storage_searches_kcount", "cache_audio_read_mtok"}
NO_SPEECH = r"^(?!.*-[tT][tT][sS](?:$|-))"


def patterns(clause):
    """The patterns of a clause, and the exceptions from them."""
    if isinstance(clause, types.ClauseOr):
        parts = [patterns(part) for part in clause.or_]
        exceptions = {tuple(without) for _, without in parts if without}
        assert len(exceptions) <= 1, clause
        return [one for found, _ in parts for one in found], [*next(iter(exceptions), ())]
    if isinstance(clause, types.ClauseAnd):
        [wanted, exception] = clause.and_
        assert isinstance(exception, types.ClauseRegex) and exception.regex == NO_SPEECH, clause
        return patterns(wanted)[0], ["*-tts", "*-tts-*"]
    if isinstance(clause, types.ClauseRegex):
        return from_regex(clause.regex), []
    [text] = vars(clause).values()
    assert not re.search(r"[*#]", text), clause
    text = text.lower()
    shape = {
        types.ClauseEquals: "{}",
        types.ClauseStartsWith: "{}*",
        types.ClauseEndsWith: "*{}",
        types.ClauseContains: "*{}*",
    }
    return [shape[type(clause)].format(text)], []


def from_regex(regex):
    assert regex.startswith("^"), regex
    text = regex.removeprefix("^")
    text, rest = (text.removesuffix("$"), "") if text.endswith("$") else (text, "*")
    text = re.sub(r"\\d(?:\{(\d)\})?", lambda match: "#" * int(match[1] or 1), text)
    choices = re.search(r"\[(.+?)\]", text)
    texts = [text.replace(choices[0], one) for one in choices[1]] if choices else [text]
    texts = [one.replace("\\.", ".") + rest for one in texts]
    assert all(re.fullmatch(r"[a-z0-9./@#*-]+", one) for one in texts), regex
    return texts


def rates_above(prices, tokens):
    """The rates of a request with more input tokens than this."""
    found = {}
    for name, value in vars(prices).items():
        if value is None or name in IGNORED:
            continue
        if name not in RATES:
            return None
        if isinstance(value, types.TieredPrices):
            reached = [tier.price for tier in value.tiers if tier.start <= tokens]
            value = reached[-1] if reached else value.base
        found[RATES[name]] = value
    is_free = not any(value is not None for value in vars(prices).values())
    return found if found or is_free else None


def thresholds(prices):
    tiered = (one for one in vars(prices).values() if isinstance(one, types.TieredPrices))
    return sorted({tier.start for price in tiered for tier in price.tiers})


def shown_rates(rates):
    rates = {"input": 0, "output": 0} | rates
    return {name: format(Decimal(rates[name]), "f") for name in RATES.values() if name in rates}


def schedule(prices):
    """One price: the rates, and those of longer inputs; none if it is not by tokens."""
    base = rates_above(prices, -1)
    if base is None or (base and "input" not in base):
        return None
    longer = [(start, rates_above(prices, start)) for start in thresholds(prices)]
    shown = shown_rates(base)
    if longer:
        shown["above"] = [
            {"tokens": start, "price": shown_rates(rates)}
            for start, rates in longer
        ]
    return shown


def dearest(several):
    """The dearest of each rate."""
    if len(several) == 1:
        return several[0]
    assert not any(thresholds(prices) for prices in several)
    names = {name for prices in several for name in vars(prices)}
    return types.ModelPrice(**{
        name: max(vars(prices)[name] for prices in several if vars(prices).get(name) is not None)
        for name in sorted(names)
    })


def dated(model, day):
    """The prices of a model by the day from which they hold; none for those in force."""
    if isinstance(model.prices, types.ModelPrice):
        return [(None, model.prices)]
    hourly, by_day = [], {}
    for conditional in model.prices:
        constraint = conditional.constraint
        if isinstance(constraint, types.TimeOfDateConstraint):
            hourly.append(conditional.prices)
        else:
            start = getattr(constraint, "start_date", None)
            by_day[start if start and start > day else None] = conditional.prices
    assert not hourly or list(by_day) == [None], model.id
    starts = sorted(by_day, key=lambda start: start or day)
    return [(start, dearest([by_day[start], *hourly])) for start in starts]


def services(model, prices, day):
    """What other service tiers cost, in percent of the standard price: the dearest of the rates."""
    overrides = {}
    for variant in model.price_variants or []:
        [(key, name)] = variant.when.items()
        noon = datetime.datetime.combine(day, datetime.time(12))
        if key == "processing" or (variant.constraint and not variant.constraint.active(noon)):
            continue
        for rate, price in vars(variant.prices).items():
            overrides.setdefault(name, {}).setdefault(rate, price)
    found = {}
    for name, changed in sorted(overrides.items()):
        other = types.ModelPrice(**(vars(prices) | changed))
        ratios = [
            Fraction(value) / Fraction(rates_above(prices, start)[rate])
            for start in [-1, *thresholds(prices), *thresholds(other)]
            for rate, value in rates_above(other, start).items()
            if value
        ]
        percent = math.ceil(max(ratios) * 100)
        if percent != 100:
            found[name] = percent
    return found


def entry(model, day):
    match, exceptions = patterns(model.match)
    shown = {"match": list(dict.fromkeys(match))}
    if exceptions:
        shown["not"] = exceptions
    prices = dated(model, day)
    schedules = [(start, schedule(price)) for start, price in prices]
    if any(one is None for _, one in schedules):
        return shown
    for (start, price), (_, one) in zip(prices, schedules):
        if extra := services(model, price, start or day):
            one["services"] = extra
    shown["price"] = schedules[0][1]
    if later := schedules[1:]:
        shown["later"] = [{"from": start.isoformat(), "price": one} for start, one in later]
    return shown


def main():
    day = datetime.date.fromisoformat(sys.argv[1])
    by_id = {provider.id: provider for provider in providers}
    shown = {}
    for id, hosts in HOSTS.items():
        provider = by_id[id]
        for host in hosts:
            assert re.match(provider.api_pattern, f"https://{host.replace('*', 'x')}/"), host
        entries = [entry(model, day) for model in provider.models]
        exact = lambda one: not any("*" in pattern or "#" in pattern for pattern in one["match"])
        last = max((at for at, one in enumerate(entries) if not exact(one)), default=-1)
        entries = [one for at, one in enumerate(entries) if "price" in one or at < last]
        shown[id] = {"hosts": hosts, "models": entries}
        if fallback := [other for other in provider.fallback_model_providers or [] if other in HOSTS]:
            shown[id]["fallback"] = fallback
    version = importlib.metadata.version("genai-prices")
    source = f"genai-prices {version} (MIT)"
    head = {"source": source, "date": day.isoformat()}
    target = pathlib.Path(__file__).parent.parent / "core/src/gateway/prices/snapshot.json"
    compact = lambda value: json.dumps(value, separators=(",", ":"))
    # One line for each model, so that a change can be read.
    text = compact(head)[:-1] + ',"providers":{\n'
    texts = []
    for id, provider in shown.items():
        models = ",\n".join(compact(one) for one in provider.pop("models"))
        texts.append(f'{compact(id)}:{compact(provider)[:-1]},"models":[\n{models}]}}')
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + ",\n".join(texts) + "}}\n")
    print(f"{target.stat().st_size} bytes, {sum(t.count(chr(10)) for t in texts)} models")


if __name__ == "__main__":
    main()
