"""A shop's backend over HTTP: the same key again after 503, 504 or no answer, and no retry after a refusal.

    python shop_over_http.py http://HOST:PORT ORDER_ID SKU QUANTITY

503, 504, a broken connection and a time-out leave open whether the command was applied. The same request under the
same `Idempotency-Key` is right in each of these cases: it is applied once, and answered with its first result. An
answer of 400 to 499 is a decision. The ledger remembers it with the key, so asking again is no use.

Ends with 0 when the goods are reserved, 1 when they are refused, 2 when no answer came.
"""

import argparse
import sys
import time
from typing import Any

import httpx

ATTEMPTS = 30
LONGEST_PAUSE_S = 2.0
# The gateway waits 5 s for a result unless told otherwise; a caller waits a little longer than the gateway.
TIMEOUT_S = 7.0


class Refused(Exception):
    """The request was decided against; `code` says why."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title"))
        self.code = problem.get("code")


class NoAnswer(Exception):
    """Nobody knows what became of the request. The same key may be used again later."""


def ask(client: httpx.Client, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send one command until there is an answer, and return its result.

    Args:
        client: the connection to a gateway.
        path: the route.
        key: the `Idempotency-Key`, made where the intent arose and stored there: never made for a retry.
        body: the command's fields; the same for every attempt.

    Raises:
        Refused: the answer is 400 to 499; it is not asked again.
        NoAnswer: none came in all attempts.
    """
    pause_s = 0.2
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = client.post(path, json=body, headers={"Idempotency-Key": key}, timeout=TIMEOUT_S)
        except httpx.TransportError as error:
            why = type(error).__name__
        else:
            if answer.is_success:
                result: dict[str, Any] = answer.json()
                return result
            if answer.is_client_error:
                raise Refused(answer.json())
            why = str(answer.status_code)
            pause_s = max(pause_s, _seconds(answer.headers.get("Retry-After")))
        print(f"attempt {attempt}: {why}; the same key again in {pause_s:g} s", file=sys.stderr, flush=True)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    raise NoAnswer(f"no answer in {ATTEMPTS} attempts; {key} may be used again later")


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def main() -> int:
    """Reserve an order's goods, and return the exit code."""
    parser = argparse.ArgumentParser(description="A shop's backend over HTTP.")
    for name, kind in (("gateway", str), ("order_id", str), ("sku", str), ("quantity", int)):
        parser.add_argument(name, type=kind)
    given = parser.parse_args()
    body = {"sku": given.sku, "reservation_id": given.order_id, "quantity": given.quantity, "channel": "web"}
    with httpx.Client(base_url=given.gateway) as client:
        try:
            result = ask(client, "/v1/reservations", f"{given.order_id}:reserve:1", body)
        except Refused as refused:
            print(f"{given.order_id} {refused.code}: {refused}")
            return 1
        except NoAnswer as error:
            print(error, file=sys.stderr)
            return 2
    print(given.order_id, "reserved", "again" if result["replayed"] else "first")
    return 0


if __name__ == "__main__":
    sys.exit(main())
