"""What the document cannot say of a body: bodies that it allows are made such as the server takes.

Whatever breaks the document still does afterwards: only values that it allows are replaced.
"""

import datetime
import itertools
import re

import schemathesis

# A port belongs to one model of a machine.
PORTS = itertools.cycle(range(1, 65536))


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


@schemathesis.hook
def before_call(context, case, kwargs):
    if not isinstance(case.body, dict):
        return
    body = case.body = whole(case.body)
    operation = case.operation.label
    if operation == "POST /api/v1/keys":
        case.body = {**body, **in_the_future(body)}
    elif operation == "PUT /api/v1/budgets/{id}":
        case.body = {**body, **cap(body, case.path_parameters)}
    elif operation == "PUT /api/v1/models/{name}":
        case.body = {**body, **replicas(body), **port(body), **env(body)}
    elif operation == "PUT /api/v1/providers/{name}":
        case.body = {**body, **base_url(body)}
    elif operation == "PUT /api/v1/routes/{name}":
        case.body = {**body, **targets(body)}
    elif operation == "PUT /api/v1/rate-cards/{name}":
        case.body = {**body, **price(body)}


def whole(value):
    """JSON Schema counts 1.0 as an integer; the server wants it written as 1."""
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def in_the_future(body):
    try:
        expiry = datetime.datetime.fromisoformat(body["expires_at"])
    except (KeyError, TypeError, ValueError):
        return {}
    return {"expires_at": expiry.replace(year=9000).isoformat()} if expiry.year < 9000 else {}


def cap(body, path):
    """The unit of the cap is that of the id."""
    amount, id = body.get("cap"), path.get("id")
    if not isinstance(amount, str) or not isinstance(id, str):
        return {}
    if "/usd/" in id and re.fullmatch("[0-9]+[kM]?", amount):
        return {"cap": "$5"}
    if "/tokens/" in id and amount.startswith("$"):
        return {"cap": "2M"}
    return {}


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
    least, most = body.get("min_replicas", 0), body.get("max_replicas", 1)
    if is_integer(least) and is_integer(most) and 1 <= most < least <= 100:
        return {"min_replicas": most}
    return {}


def port(body):
    own = body.get("port")
    if not (is_integer(own) and 1 <= own <= 65535):
        return {}
    # Its generator does not heed the `if` of the document.
    return {"port": next(PORTS), "max_replicas": 1, "min_replicas": 0}


def base_url(body):
    # The pattern says how it begins; its generator makes anything of the rest.
    url = body.get("base_url")
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        return {"base_url": "https://example.com/v1"}
    return {}


def targets(body):
    """A model stands in a route once, and some weight is above 0."""
    given = body.get("targets")
    if not isinstance(given, list) or len(given) > 16:
        return {}
    once = {}
    for target in given:
        name = target.get("model") if isinstance(target, dict) else target
        if not isinstance(name, str):
            return {}
        once.setdefault(name, target)
    least = [target for target in once.values() if isinstance(target, dict)]
    if len(least) == len(once) and all(target.get("weight") == 0 for target in least):
        once = {name: {**target, "weight": 1} for name, target in once.items()}
    return {"targets": list(once.values())}


def env(body):
    # Stands for a value that was set before, and there was none.
    variables = body.get("env")
    if not isinstance(variables, dict) or "***" not in variables.values():
        return {}
    plain = {name: "{port}" if name == "PORT" else "x" for name in variables}
    return {
        "env": {
            name: plain[name] if value == "***" else value for name, value in variables.items()
        }
    }
