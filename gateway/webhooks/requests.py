"""Owns one request of a webhook: its body, its signatures (Standard Webhooks), and what its answer means."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple

import aiohttp
from aiokafka import ConsumerRecord
from standardwebhooks import Webhook

from gateway.webhooks.endpoints import Endpoint
from schemas.topics import RESULTS, STOCK_CHANGES

TIMEOUT_S: Final = 10.0
MOST_ANSWER_BYTES: Final = 64 * 1024
TYPE_OF: Final[Mapping[str, str]] = {STOCK_CHANGES: "stock-change", RESULTS: "unsolicited-result"}
_NAME_OF = {STOCK_CHANGES: "stock-changes", RESULTS: "results"}
_AGAIN = frozenset({408, 425, 429})
_GONE = 410
_OK, _CLIENT_ERRORS = range(200, 300), range(400, 500)
_REPLAY = {"holdfast-replay": "true"}


class Message(NamedTuple):
    """What is sent in one request: records of one partition, in order."""

    id: str
    body: bytes
    records: Sequence[ConsumerRecord]


class Reaction(NamedTuple):
    """What became of a request: `delivered`; `again` later; `refused` for good; `gone`: nobody wants any more.

    `reason` is for people, `status` the HTTP status if one came, `wait_s` what `Retry-After` asked for.
    """

    kind: Literal["delivered", "again", "refused", "gone"]
    reason: str
    status: int | None = None
    wait_s: float | None = None


def message_of(records: Sequence[ConsumerRecord]) -> Message:
    """Return the request for records of one partition.

    The same records make the same id and body, in every process. Several have the offsets of the first and the last in
    their id, so that other batches, as they may come after a crash, have other ids.
    """
    first, last = records[0], records[-1]
    until = f"-{last.offset}" if len(records) > 1 else ""
    at = datetime.fromtimestamp(last.timestamp / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f'{{"type":"{TYPE_OF[first.topic]}","timestamp":"{at}","data":['
    body = head.encode() + b",".join(record.value or b"" for record in records) + b"]}"
    return Message(f"{_NAME_OF[first.topic]}:{first.partition}:{first.offset}{until}", body, records)


def headers_of(endpoint: Endpoint, message: Message, now: datetime, *, is_replay: bool = False) -> dict[str, str]:
    """Return the headers of a request that is sent now (in UTC), signed with every secret of the endpoint."""
    text = message.body.decode()
    signatures = [Webhook(secret).sign(message.id, now, text) for secret in endpoint.secrets]
    return {
        "content-type": "application/json",
        "user-agent": "holdfast-webhooks",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
        **(_REPLAY if is_replay else {}),
    }


class Sender:
    """Sends requests.

    Args:
        session: the connections of this process.
        proxy: the URL of the proxy that all requests take; None: none.
    """

    def __init__(self, session: aiohttp.ClientSession, proxy: str | None = None) -> None:
        self._session = session
        self._proxy = proxy

    async def send(self, endpoint: Endpoint, message: Message, *, is_replay: bool = False) -> Reaction:
        """Send a request once."""
        headers = headers_of(endpoint, message, datetime.now(UTC), is_replay=is_replay)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with self._session.post(
                    endpoint.url, data=message.body, headers=headers, allow_redirects=False, proxy=self._proxy
                ) as response:
                    reaction = _meaning(response.status, response.headers)
                    try:
                        await _throw_away(response)
                    except (aiohttp.ClientError, OSError, TimeoutError):
                        response.close()  # the status has said everything
                    return reaction
        except TimeoutError:
            return Reaction("again", f"no answer within {TIMEOUT_S:.0f} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reaction("again", f"no connection: {type(error).__name__}")


async def _throw_away(response: aiohttp.ClientResponse) -> None:
    """Read a part of the answer, so that its connection can be used again; with a longer one it is closed."""
    left = MOST_ANSWER_BYTES
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left < 0:
            response.close()
            return


def _meaning(status: int, headers: Mapping[str, str]) -> Reaction:
    reason = f"status {status}"
    if status in _OK:
        return Reaction("delivered", reason, status)
    if status == _GONE:
        return Reaction("gone", reason, status)
    if status in _CLIENT_ERRORS and status not in _AGAIN:
        return Reaction("refused", reason, status)
    return Reaction("again", reason, status, _wait_s(headers.get("Retry-After")))


def _wait_s(retry_after: str | None) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date; None when it says nothing usable."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo is not None else None
