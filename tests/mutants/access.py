"""Owns the mutants of who may use a gateway: keys, tokens, pages, scopes, channels and rates."""

from tests.mutants.mutant import one

ADMISSION = "gateway/access/admission.py"
CHANNELS = "gateway/access/channels.py"
KEYS = "gateway/access/keys.py"
PAGES = "gateway/access/pages.py"
RATES = "gateway/access/rates.py"
TOKENS = "gateway/access/tokens.py"
_FOLDER = "tests/gateway/access/"

_OF_ADMISSION = (
    one(
        "any-scope-will-do",
        "a credential without the route's scope is refused",
        ADMISSION,
        "        credential.check_scope(needed)\n",
        "",
        f"{_FOLDER}test_every_route.py",
    ),
    one(
        "no-rate",
        "a request takes a token of its credential",
        ADMISSION,
        "        credential.usage.take()\n",
        "",
        f"{_FOLDER}test_admission.py",
    ),
    one(
        "first-of-two-credentials",
        "two credentials in one request are none",
        ADMISSION,
        "if len(given) != 1 or",
        "if not given or",
        f"{_FOLDER}test_admission.py",
    ),
    one(
        "served-under-any-name",
        "a name that is not the gateway's is not served",
        PAGES,
        "if len(hosts) != 1 or not (hosts[0] in self._served or self._serves(hosts[0])):",
        "if not hosts:",
        f"{_FOLDER}test_pages.py",
    ),
    one(
        "any-origin",
        "a page of another origin is refused",
        PAGES,
        "if origin is not None and not self._is_own(host, origin):",
        "if False:",
        f"{_FOLDER}test_pages.py",
    ),
    one(
        "debt-is-forgiven",
        "a list that is longer than the burst owes the rest",
        RATES,
        "        self.tokens -= wanted\n",
        "        self.tokens -= min(wanted, self.rate.burst)\n",
        f"{_FOLDER}test_rates.py",
    ),
)

_OF_CREDENTIALS = (
    one(
        "an-id-is-a-key",
        "only the whole key is taken, not its id",
        KEYS,
        "if not hmac.compare_digest(hashlib.sha256(bearer).digest(), expected) or known is None:",
        "if known is None:",
        f"{_FOLDER}test_keys.py",
    ),
    one(
        "a-key-for-ever",
        "a key that has expired is refused",
        KEYS,
        "if known.key.expires_at is not None and",
        "if False and",
        f"{_FOLDER}test_admission.py",
    ),
    one(
        "others-write-keys",
        "a key file that others may write is refused",
        KEYS,
        "    if mode & _OTHERS_WRITE:\n",
        "    if False:\n",
        f"{_FOLDER}test_keys.py",
    ),
    one(
        "revoked-goes-on",
        "what a revoked key has open ends",
        KEYS,
        "                before.credential.usage.revoked = True\n",
        "                pass\n",
        f"{_FOLDER}test_keys.py",
    ),
    one(
        "any-audience",
        "a token that was made for somebody else is refused",
        TOKENS,
        "                audience=self._config.audience,\n",
        '                audience=[self._config.audience, "another"],\n',
        f"{_FOLDER}test_tokens.py",
    ),
    one(
        "the-tokens-algorithm",
        "the algorithm is the key's, not the token's",
        TOKENS,
        "            claims: dict[str, Any] = jwt.decode(\n                bearer,\n                key,\n"
        "                algorithms=[key.algorithm_name],\n",
        "            claims: dict[str, Any] = jwt.decode(\n                bearer,\n                key.key,\n"
        '                algorithms=["RS256", "RS512", "PS256", "ES256", "EdDSA"],\n',
        f"{_FOLDER}test_tokens.py",
    ),
    one(
        "remembered-beyond-the-set",
        "a key that leaves the set verifies nothing any more",
        TOKENS,
        " and known.generation == self._key_set.generation:",
        ":",
        f"{_FOLDER}test_tokens.py",
    ),
    one(
        "remembered-beyond-its-end",
        "a token is never remembered beyond its end",
        TOKENS,
        'until = min(now + _REMEMBERED_S, int(claims["exp"]) + LEEWAY_S)',
        "until = now + _REMEMBERED_S",
        f"{_FOLDER}test_tokens.py",
    ),
)

_OF_CHANNELS = (
    one(
        "a-source-of-ones-own",
        "a caller cannot say from where a command comes",
        CHANNELS,
        'if _value(fields, "source") is not None:',
        "if False:",
        f"{_FOLDER}test_channels.py",
    ),
    one(
        "reserve-for-others",
        "a reservation is of a channel of its credential",
        CHANNELS,
        "if isinstance(given, str) and given not in channels:",
        "if False:",
        f"{_FOLDER}test_channels.py",
    ),
    one(
        "widened-channels",
        "a caller cannot widen the channels of its credential",
        CHANNELS,
        "        if isinstance(channel, str) and channel not in channels:\n",
        "        if False:\n",
        f"{_FOLDER}test_channels.py",
    ),
    one(
        "books-of-others",
        "of a book it sees the entries of its channels",
        CHANNELS,
        " if _channel_of(entry).channel in channels]",
        "]",
        f"{_FOLDER}test_bound_to_channels.py",
    ),
)

OF_ACCESS = _OF_ADMISSION + _OF_CREDENTIALS + _OF_CHANNELS
