"""A receiver of webhooks for tests: it does as it is told, and keeps what it accepted."""

import asyncio
import contextlib
import json

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Receiver:
    """Answers with the statuses of `script` (200 when it is empty), each an integer or (status, headers)."""

    def __init__(self):
        self.script = []
        self.requests = []
        self.accepted = []
        self.slow_s = 0.0
        self.now = 0
        self.most_at_once = 0
        self.at_once_of = {}
        self.secret = SECRET

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    async def _take(self, request):
        body = await request.read()
        partition = request.headers["webhook-id"].split(":")[1]
        self.at_once_of[partition] = self.at_once_of.get(partition, 0) + 1
        self.most_at_once = max(self.most_at_once, self.at_once_of[partition])
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
            self.requests.append((request.path, dict(request.headers), json.loads(body)))
            await asyncio.sleep(self.slow_s)
            status = self.script.pop(0) if self.script else 200
            status, headers = status if isinstance(status, tuple) else (status, {})
            if 200 <= status < 300:
                self.accepted += json.loads(body)["data"]
            return web.Response(status=status, headers=headers, body=b"x" * 100)
        finally:
            self.at_once_of[partition] -= 1

    async def until(self, is_so, within_s=30):
        async with asyncio.timeout(within_s):
            while not is_so():
                await asyncio.sleep(0.01)

    def seqs(self, sku):
        return [document["seq"] for document in self.accepted if document["sku"] == sku]


@contextlib.asynccontextmanager
async def receiving():
    """Run a receiver during the block."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver._take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
