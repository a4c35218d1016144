"""Owns the list of unanswered requests, so that each gets an answer before the process ends."""

import asyncio

from litestar.types import ASGIApp, Receive, Scope, Send

_LEAVE_WITHIN_S = 1.0


class RequestsInHand:
    """An ASGI application around another one; it knows the requests that are not answered yet.

    Args:
        app: the inner application. It must answer a request whose task is cancelled.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that awaits runs in a task
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        finally:
            self._tasks.discard(task)

    async def finish(self, within_s: float) -> None:
        """Wait until all requests are answered; cancel those that take longer, which answers them at once.

        Args:
            within_s: how long requests may still wait for their results and streams may go on.
        """
        await self._until_none(within_s)
        for task in self._tasks:
            task.cancel()
        await self._until_none(_LEAVE_WITHIN_S)

    async def _until_none(self, within_s: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=within_s)
