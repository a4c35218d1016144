"""Owns the credential of a request: who sent it, what it may do, and which channels it is bound to.

For a route's code: `credential = credential_of(request)`. That the credential has the route's scope has been checked
before the route is called; what only the route knows, the route asks:

- `check_scope(needed)`: each command of a list needs the scope of its type.
- `channel_for(given)`: the channel of an availability or a stream. It refuses a channel that the
  credential does not have, and fills in the only one that it has.
- `bind(type_, fields)`: writes `source`, `channel` and `channels` into a command, and refuses a caller's own `source`.
- `sees(channel)`: whether an item of a list or of a stream may be shown.
- `shown(document)`: the JSON of a result or of a stock change, without what other channels have in its book.
- `check_unbound()`: refuses a credential with channels where items do not tell their channel.
- `holds()`: whether the credential is still in force; a stream asks from time to time, and ends when it is not.
- `usage.take(n)`: one token for each further command of a list (the request itself has paid for one).
- `usage.stream()` and `usage.waiting(n)`: blocks in which a stream is open, or n more commands wait.
"""

import time
from dataclasses import dataclass, field

from msgspec import Raw

from gateway.access import channels as of_channels
from gateway.access.rates import Usage
from gateway.access.scopes import Needed, Scope, named
from gateway.incoming import HttpRequest
from gateway.problems import Forbidden

_KEY = "holdfast_credential"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """Who sent a request.

    Args:
        id: its name in logs; never a secret.
        source: `source` of its commands: `key/ID` or `jwt/SUB`; None leaves it out.
        scopes: what it may do.
        channels: the only channels that it may have; None: all.
        usage: what it uses now, and its rate.
        expires_at: until when it holds, ms since the Unix epoch; None: until it is revoked.
    """

    id: str
    source: str | None
    scopes: frozenset[Scope]
    channels: tuple[str, ...] | None = None
    usage: Usage = field(default_factory=Usage)
    expires_at: int | None = None

    def holds(self) -> bool:
        """Return whether it was not revoked and has not expired: what a stream asks now and then."""
        is_over = self.expires_at is not None and self.expires_at <= time.time_ns() // 1_000_000
        return not is_over and not self.usage.revoked

    def may(self, needed: Needed) -> bool:
        """Return whether the credential has any one of the scopes, or `admin`."""
        return not needed.isdisjoint(self.scopes) or Scope.ADMIN in self.scopes

    def check_scope(self, needed: Needed) -> None:
        """Check that the credential has any one of the scopes.

        Raises:
            Forbidden: `field` is `scope`.
        """
        if not self.may(needed):
            raise Forbidden("scope", f"The credential lacks the scope {named(needed)}.")

    def sees(self, channel: str) -> bool:
        """Return whether what belongs to a channel may be shown."""
        return self.channels is None or channel in self.channels

    def shown(self, document: bytes) -> bytes:
        """Return the JSON of a result or of a stock change, without the other channels' entries in its book."""
        return document if self.channels is None else of_channels.shown(self.channels, document)

    def check_channel(self, channel: str) -> None:
        """Check that the credential may have a channel.

        Raises:
            Forbidden: `field` is `channel`.
        """
        if not self.sees(channel):
            raise of_channels.other_channel(channel, self.channels or ())

    def check_unbound(self) -> None:
        """Check that the credential may have all channels: what it asks for cannot be told apart by channel.

        Raises:
            Forbidden: `field` is `channel`.
        """
        if self.channels is not None:
            raise Forbidden("channel", "This needs a credential for all channels, and the credential has only some.")

    def channel_for(self, given: str | None) -> str | None:
        """Return the channel of a read or a stream: the given one, or the only one that the credential has.

        Args:
            given: the request's channel; None: all of them.

        Raises:
            Forbidden: `field` is `channel`.
        """
        if self.channels is None:
            return given
        if given is not None:
            self.check_channel(given)
            return given
        if len(self.channels) > 1:
            raise Forbidden("channel", f"Name a channel: one of {', '.join(self.channels)}.")
        return self.channels[0]

    def bind(self, type_: str, fields: dict[str, Raw]) -> None:
        """Write who sent a command, and the channels that it is bound to, into the command's fields.

        Args:
            type_: the command's type.
            fields: the fields of the request's body; changed.

        Raises:
            RequestRefused: the body has a `source`, or a channel that the credential does not have.
        """
        of_channels.bind(self.source, self.channels, type_, fields)


# A caller of a route that needs no credential.
ANYBODY = Credential(id="anybody", source=None, scopes=frozenset())
# Every caller of an open gateway.
OPEN = Credential(id="open", source=None, scopes=frozenset({Scope.ADMIN}))


def credential_of(request: HttpRequest) -> Credential:
    """Return who sent a request, as `Access.admit` found out; `OPEN` at an open gateway."""
    found: Credential = request.scope[_KEY]  # type: ignore[literal-required] # a key of this module
    return found


def set_credential(request: HttpRequest, credential: Credential) -> None:
    """Note who sent a request."""
    request.scope[_KEY] = credential  # type: ignore[literal-required]
