"""What a schema cannot say of a body: bodies that it allows are made such as the server takes.

A schema knows nothing of the path, of other fields' values, of the time, nor of what was sent before.
Whatever breaks the document still does afterwards: only values that it allows are replaced.
"""

import datetime
import itertools
import re

import schemathesis

PORTS = itertools.cycle(range(1, 65536))


def is_integer(value):
    """JSON Schema, and the server, take 1.0 for an integer too."""
    is_whole = isinstance(value, float) and value.is_integer()
    return is_whole or isinstance(value, int) and not isinstance(value, bool)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Leaves preconditions out: `0` is sent in their place, whatever their pattern says."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            parameters = operation.get("parameters", [])
            parameters[:] = [each for each in parameters if each["in"] != "header"]


@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not isinstance(body, dict):
        return
    operation = case.operation.label
    if operation == "POST /api/v1/keys":
        case.body = {**body, **in_the_future(body)}
    elif operation == "PUT /api/v1/budgets/{id}":
        case.body = {**body, **cap(body, case.path_parameters)}
    elif operation == "PUT /api/v1/models/{name}":
        case.body = {**body, **replicas(body), **port(body), **env(body)}
    elif operation == "PUT /api/v1/routes/{name}":
        case.body = {**body, **targets(body)}
    elif operation == "PUT /api/v1/prices/imported":
        case.body = {**body, **price_list(body)}
    elif operation == "PUT /api/v1/rate-cards/{name}":
        case.body = {**body, **price(body)}
    elif operation == "POST /api/v1/work/claim":
        case.body = {**body, **without_a_wait(body)}


def without_a_wait(body):
    """Nobody needs to wait for a job that does not come."""
    wait = body.get("wait")
    is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool) and 0 <= wait <= 20
    return {"wait": 0} if is_number or wait in [f"{seconds}s" for seconds in range(21)] else {}


def in_the_future(body):
    """No pattern of a time is later than now."""
    try:
        expiry = datetime.datetime.fromisoformat(body["expires_at"])
    except (KeyError, TypeError, ValueError):
        return {}
    return {"expires_at": expiry.replace(year=9000).isoformat()} if expiry.year < 9000 else {}


def cap(body, path):
    """The unit of the cap is that of the id, which stands in the path."""
    amount, id = body.get("cap"), path.get("id")
    if not isinstance(amount, str) or not isinstance(id, str):
        return {}
    if "/usd/" in id and re.fullmatch("[0-9]+[kM]?", amount):
        return {"cap": "$5"}
    if "/tokens/" in id and amount.startswith("$"):
        return {"cap": "2M"}
    return {}


def price_list(body):
    """Fallbacks are sections of the list; prices to come are in order, behind one of today."""
    providers = body.get("providers")
    if not isinstance(providers, dict):
        return {}
    return {"providers": {name: section(each, providers) for name, each in providers.items()}}


def section(section, providers):
    if not isinstance(section, dict):
        return section
    section = dict(section)
    if isinstance(section.get("fallback"), list):
        section["fallback"] = [
            name for name in section["fallback"] if not isinstance(name, str) or name in providers
        ]
    if isinstance(section.get("models"), list):
        section["models"] = [entry(each) for each in section["models"]]
    return section


def entry(entry):
    if not isinstance(entry, dict):
        return entry
    entry = {**entry, **price(entry)}
    later = entry.get("later")
    if not isinstance(later, list) or not all(is_later(each) for each in later):
        return entry
    if entry.get("price") is None:
        del entry["later"]
        return entry
    days = {each["from"]: {**each, **price(each)} for each in later}
    entry["later"] = [days[day] for day in sorted(days)]
    return entry


def is_later(later):
    return isinstance(later, dict) and isinstance(later.get("from"), str)


def price(body):
    """Rates of longer prompts come in order, each for another length."""
    rates = body.get("price")
    above = rates.get("above") if isinstance(rates, dict) else None
    if not isinstance(above, list):
        return {}
    if not all(isinstance(each, dict) and is_integer(each.get("tokens")) for each in above):
        return {}
    lengths = {each["tokens"]: each for each in above}
    return {"price": {**rates, "above": [lengths[tokens] for tokens in sorted(lengths)]}}


def replicas(body):
    """No field is compared with another one."""
    least, most = body.get("min_replicas", 0), body.get("max_replicas", 1)
    if is_integer(least) and is_integer(most) and 1 <= most < least <= 100:
        return {"min_replicas": most}
    return {}


def port(body):
    """A port belongs to one model of a machine: which are free depends on the others."""
    own = body.get("port")
    return {"port": next(PORTS)} if is_integer(own) and 1 <= own <= 65535 else {}


def env(body):
    """`***` stands for a value that was set before, and there was none."""
    variables = body.get("env")
    if not isinstance(variables, dict) or "***" not in variables.values():
        return {}
    plain = {name: "{port}" if name == "PORT" else "x" for name in variables}
    return {
        "env": {
            name: plain[name] if value == "***" else value for name, value in variables.items()
        }
    }


def targets(body):
    """A model stands in a route once, by its name; items that are unique may differ in weight."""
    given = body.get("targets")
    if not isinstance(given, list) or not 1 <= len(given) <= 16:
        return {}
    once = {}
    for target in given:
        name = target.get("model") if isinstance(target, dict) else target
        if not isinstance(name, str):
            return {}
        # One with more weight has to stay.
        if name not in once or isinstance(once[name], dict) and once[name].get("weight") == 0:
            once[name] = target
    return {"targets": list(once.values())}
