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
