"""Owns the requests that reach what a stranger does not: a valid request of every route, and one for each refusal."""

import json
import re
import time
from collections import Counter

import httpx

from gateway.routes.table import ROUTES
from schemas.commands import COMMAND_TYPES, tag_of
from tests.examples import EXAMPLES

_EXAMPLES = {example["type"]: example for example in reversed(EXAMPLES)}
_TAGS = {kind: tag_of(kind) for kind in COMMAND_TYPES}
_VALUES = {
    "sku": "S",
    "id": "r",
    "channel": "web",
    "quantity": "1",
    "version": "0",
    "file": "app.js",
}
BY_NAME = {route.name: route for route in ROUTES}
STREAM = "text/event-stream"


class Caller:
    """A client that notes which routes answered with which status.

    Args:
        http: the client; its base address is the gateway's.
    """

    def __init__(self, http):
        self.http = http
        self.reached = Counter()

    def __call__(self, name, *, json_body=None, query=None, headers=None, content=None, **in_path):
        """Send a request of a route and return its answer."""
        url, options = asked(name, json_body=json_body, query=query, headers=headers, content=content, **in_path)
        answer = self._answer(name.partition(" ")[0], url, options)
        self.reached[name, answer.status_code] += 1
        return answer

    def _answer(self, method, url, options):
        try:
            return self.http.request(method, url, **options)
        except httpx.RemoteProtocolError:
            # After a refusal whose body was not read the server closes the connection: this request came too late.
            return self.http.request(method, url, **options)


def asked(name, *, json_body=None, query=None, headers=None, content=None, **in_path):
    """Return the address of a route's request and httpx's options."""
    path = name.partition(" ")[2]
    for parameter, value in in_path.items():
        path = path.replace(f"{{{parameter}}}", value)
    options = {"params": query or {}, "headers": headers or {}}
    if json_body is not None:
        options["content"] = json.dumps(json_body)
    if content is not None:
        options["content"] = content
    if "content" in options:
        options["headers"] = {"content-type": "application/json"} | options["headers"]
    return path, options


def valid(route):
    """Return the arguments of a valid request of a route, as `Caller` takes them."""
    given = {}
    for parameter in route.parameters:
        value = _VALUES.get(parameter.name)
        if parameter.where == "path":
            given[parameter.name] = value
        elif parameter.where == "query" and parameter.required:
            given.setdefault("query", {})[parameter.name] = value
    if route.body is not None:
        given["json_body"] = _body_of(route)
    return given


def _body_of(route):
    tag = _TAGS.get(route.body)
    if tag is None:
        return OTHER_BODIES[route.name]
    given_by_route = {"type", "command_id", *(p.field for p in route.parameters if p.where == "path")}
    return {name: value for name, value in _EXAMPLES[tag].items() if name not in given_by_route}


OTHER_BODIES = {
    "POST /v1/commands": {"commands": [_EXAMPLES["query"]]},
    "POST /v1/availability": {"skus": ["S"]},
}


class Story:
    """A story on a gateway with a real ledger behind it: what every command's route accepts, and does not.

    Args:
        call: the caller.
        tag: makes the ids of this story its own.
    """

    def __init__(self, call, tag):
        self._call = call
        self.sku = f"{tag}-mug"
        self.wide = f"{tag}-wide"  # in as many warehouses as a SKU may be
        self.absent = f"{tag}-absent"

    def tell(self):
        """Send everything."""
        self._stock()
        self._reservations()
        self._goods()
        self._limits()
        self._rules()
        self._reads()

    def _stock(self):
        adjust = {"sku": self.sku, "warehouse": "leeds", "delta": 100, "reason": "receipt"}
        self._call("POST /v1/adjustments", json_body=adjust)
        self._call("POST /v1/adjustments", json_body=adjust | {"expected_on_hand": 7})
        self._call("POST /v1/adjustments", json_body=adjust | {"warehouse": "york"})

    def _reservations(self):
        mine, absent = {"sku": self.sku}, {"sku": self.absent}
        for id_ in ("held", "gone"):
            self._call("POST /v1/reservations", json_body=mine | {"reservation_id": id_, "quantity": 5})
        self._call("POST /v1/reservations", json_body=mine | {"quantity": 1_000_000})
        self._call("POST /v1/reservations", json_body=absent | {"quantity": 1})
        whole = {
            "amend": {"quantity": 6},
            "reallocate": {"from": "leeds", "to": "york", "quantity": 1},
            "extend": {"ttl_ms": 600_000},
            "commit": {"quantity": 1},
            "release": {"quantity": 1},
        }
        self._call("POST /v1/reservations/{id}/release", id="gone", json_body=mine)
        for step, fields in whole.items():
            name = f"POST /v1/reservations/{{id}}/{step}"
            for id_, sku in (("held", mine), ("gone", mine), ("held", absent)):
                self._call(name, id=id_, json_body=sku | fields)

    def _goods(self):
        mine, absent, there = {"sku": self.sku}, {"sku": self.absent}, {"warehouse": "leeds", "quantity": 2}
        soon = int(time.time() * 1000) + 86_400_000
        for id_ in ("po", "po", "late"):
            self._call("POST /v1/inbounds", json_body=mine | there | {"inbound_id": id_, "eta_at": soon})
        self._call("POST /v1/inbounds/{id}/cancel", id="late", json_body=mine)
        for step, fields in (("amend", {"quantity": 3}), ("receive", {"quantity": 1}), ("cancel", {})):
            for id_, sku in (("po", mine), ("late", mine), ("po", absent)):
                self._call(f"POST /v1/inbounds/{{id}}/{step}", id=id_, json_body=sku | fields)
        back = mine | there | {"disposition": "inspect"}
        self._call("POST /v1/returns", json_body=back)
        for id_ in ("held", "nobody"):
            self._call("POST /v1/returns", json_body=back | {"reservation_id": id_, "quantity": 50})
        for sku, quantity in ((mine, 1), (mine, 1_000_000), (absent, 1)):
            both = sku | {"quantity": quantity}
            self._call("POST /v1/moves", json_body=both | {"warehouse": "leeds", "from": "on_hand", "to": "damaged"})
            self._call("POST /v1/transfers", json_body=both | {"from": "leeds", "to": "york"})
        for fields in ({}, {"tolerance": 0}):
            self._call(
                "POST /v1/reconciliations",
                json_body=mine | {"warehouse": "leeds", "counted_on_hand": 500 - len(fields)} | fields,
            )

    def _limits(self):
        """Fill a SKU up: with stock rows, and with policies."""
        rows = [self._adjust(f"w{number}") for number in range(1000)]
        policies = [{"type": "set_policy", "sku": self.wide, "channel": f"c{n}", "cap": 9} for n in range(100)]
        for commands in (rows, policies):
            self._call("POST /v1/commands", json_body={"commands": commands})
        self._call("POST /v1/commands", json_body={"commands": commands}, headers={"Prefer": "respond-async"})
        new = {"sku": self.wide, "warehouse": "one-more"}
        self._call("POST /v1/adjustments", json_body=new | {"delta": 1, "reason": "receipt"})
        self._call("POST /v1/inbounds", json_body=new | {"inbound_id": "x", "quantity": 1, "eta_at": 1})
        self._call("POST /v1/reconciliations", json_body=new | {"counted_on_hand": 1})
        for channel in ("c0", "one-more"):
            self._call("PUT /v1/policies", json_body={"sku": self.wide, "channel": channel, "cap": 3})

    def _file_of(self, page):
        text = self._call(f"GET /{page}").text
        version, file = re.search(rf'"/{page}/([^/"]+)/([^/"]+)"', text).groups()
        return {"version": version, "file": file}

    def _adjust(self, warehouse):
        return {"type": "adjust", "sku": self.wide, "warehouse": warehouse, "delta": 1, "reason": "receipt"}

    def _rules(self):
        for kind in ("warehouse", "channel"):
            for version in (2, 1):
                body = {"version": version, "priority": 7}
                self._call(f"PUT /v1/{kind}s/{{id}}", id="fuzzed", json_body=body)
            self._until(200, f"GET /v1/{kind}s/{{id}}", id="fuzzed")
            self._call(f"GET /v1/{kind}s/{{id}}", id="nobody")

    def _until(self, status, name, **request):
        for _ in range(200):
            if self._call(name, **request).status_code == status:
                return
            time.sleep(0.05)

    def _reads(self):
        for name, route in BY_NAME.items():
            if route.method == "GET" and route.answer != STREAM:
                request = valid(route)
                for sku in (self.sku, self.absent):
                    if "sku" in request.get("query", {}):
                        request["query"]["sku"] = sku
                    answer = self._call(name, **request)
                if "etag" in answer.headers:
                    self._call(name, **request, headers={"If-None-Match": answer.headers["etag"]})
        for page in ("docs", "console"):
            self._call(f"GET /{page}/{{version}}/{{file}}", **self._file_of(page))
        self._call("GET /v1/reservations/{id}", id="held", query={"sku": self.sku})
        headers = {"Idempotency-Key": "known", "Prefer": "respond-async"}
        for name, route in BY_NAME.items():
            if any(parameter.name == "Prefer" for parameter in route.parameters) and route.body in _TAGS:
                self._call(name, **valid(route), headers=headers)
        self._call("POST /v1/commands", json_body={"commands": [self._adjust("w1")]}, headers={"Idempotency-Key": "l"})
        self._call("GET /v1/commands/{id}", id="l.0", query={"sku": self.wide})
        self._call("POST /v1/availability", json_body={"skus": [self.sku]})


def refusals(call):
    """Send what every route refuses by itself: a body that is too large or no JSON, and what it does not know."""
    for name, route in BY_NAME.items():
        request = valid(route)
        if route.body is not None:
            for content in (b"[", b'{"no_such_field":1}', b" " * (1 << 20) + b" "):
                call(name, **request | {"json_body": None, "content": content})
            call(name, **request, headers={"content-type": "text/plain"})
        elif route.read is not None:
            call(name, **request | {"query": request.get("query", {}) | {"no_such": "1"}})
        call(name, **request | {"query": request.get("query", {}) | {"too_long": "x" * 9_000}})
        if route.read is not None:
            path, options = asked(name, **request)
            answer = call.http.request(route.method, f"{path}?sku=%ff")
            call.reached[name, answer.status_code] += 1
            assert options
