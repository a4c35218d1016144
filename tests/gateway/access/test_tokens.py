"""Tokens of another issuer: which hold, what their claims allow, and whose keys verify them."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.access import key_set as of_key_set
from gateway.access.config import AccessConfig, AccessError
from gateway.access.key_set import KeySet, keys_in
from gateway.access.scopes import Scope
from gateway.access.tokens import _MAX_REMEMBERED, Tokens
from gateway.problems import Unauthenticated

ISSUER, AUDIENCE = "https://id.example.com", "holdfast"
RSA = rsa.generate_private_key(65537, 2048)
KEYS = {
    "RS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
TO_JWK = {"RS256": RSAAlgorithm.to_jwk, "ES256": ECAlgorithm.to_jwk, "EdDSA": OKPAlgorithm.to_jwk}


def public(algorithm, key=None, **fields):
    jwk = TO_JWK[algorithm]((key or KEYS[algorithm]).public_key(), as_dict=True)
    return jwk | {"kid": algorithm} | fields


SET = [public(algorithm) for algorithm in KEYS]


def claims(**changed):
    now = int(time.time())
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 300, "scope": "read", **changed}
    return {name: value for name, value in made.items() if value is not None}


def token(algorithm="ES256", *, kid="", key=None, **changed):
    headers = {} if kid is None else {"kid": kid or algorithm}
    return jwt.encode(claims(**changed), key or KEYS[algorithm], algorithm, headers=headers).encode()


@pytest.fixture
async def key_set(tmp_path):
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": SET}))
    (tmp_path / "jwks.json").chmod(0o600)
    key_set = KeySet(str(tmp_path / "jwks.json"))
    await key_set.read()
    return key_set


@pytest.fixture
def tokens(key_set):
    return Tokens(AccessConfig(issuer=ISSUER, audience=AUDIENCE), key_set, most_waiting=1)


def refused(tokens, bearer):
    with pytest.raises(Unauthenticated) as caught:
        tokens.credential(bearer)
    return caught.value.detail


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_of_each_algorithm_holds(tokens, algorithm):
    credential = tokens.credential(token(algorithm, scope="openid reserve read", holdfast_channels=["web", "app"]))
    assert (credential.id, credential.source) == ("jwt/ann", "jwt/ann")
    assert credential.scopes == {Scope.RESERVE, Scope.READ}
    assert credential.channels == ("app", "web")
    assert credential.holds()


def test_without_channels_a_token_has_all(tokens):
    assert tokens.credential(token()).channels is None


def test_without_scopes_a_token_may_nothing(tokens):
    assert tokens.credential(token(scope=None)).scopes == frozenset()
    assert tokens.credential(token(scope="openid")).scopes == frozenset()


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": None},
        {"exp": int(time.time()) - 31 - 60},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"nbf": int(time.time()) + 3600},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 253},
        {"scope": ["read"]},
        {"holdfast_channels": "web"},
        {"holdfast_channels": ["a b"]},
        {"holdfast_channels": [7]},
        {"holdfast_channels": []},
        {"holdfast_channels": [f"c{n}" for n in range(1_001)]},
        {"holdfast_channels": {"web": 1}},
    ],
    ids=lambda changed: str(changed)[:60],
)
def test_a_token_with_a_wrong_claim_is_refused(tokens, changed):
    payload = claims(**changed)
    # PyJWT's encoder refuses some of these itself.
    bearer = jwt.api_jws.encode(json.dumps(payload).encode(), KEYS["ES256"], "ES256", headers={"kid": "ES256"}).encode()
    refused(tokens, bearer)


def test_the_clocks_of_two_machines_may_differ_by_30_s(tokens):
    now = int(time.time())
    assert tokens.credential(token(exp=now - 20)).holds()
    assert refused(tokens, token(exp=now - 31)) == "The token has expired."


def forged(header, payload, sign):
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    signature = base64.urlsafe_b64encode(sign(b".".join(parts))).rstrip(b"=")
    return b".".join((*parts, signature))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_a_token_without_a_signature_is_refused(tokens, algorithm):
    refused(tokens, forged({"alg": algorithm, "kid": "RS256"}, claims(), lambda _: b""))


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
def test_a_public_key_is_never_taken_for_a_shared_secret(tokens, form):
    secret = RSA.public_key().public_bytes(Encoding.PEM, form)
    for kid in ("RS256", None):
        header = {"alg": "HS256"} | ({} if kid is None else {"kid": kid})
        refused(tokens, forged(header, claims(), lambda text: hmac.new(secret, text, hashlib.sha256).digest()))


def test_the_algorithm_is_the_keys_and_not_the_tokens(tokens):
    refused(tokens, jwt.encode(claims(), RSA, "RS512", headers={"kid": "RS256"}).encode())
    refused(tokens, jwt.encode(claims(), RSA, "PS256", headers={"kid": "RS256"}).encode())
    refused(tokens, token("ES256", kid="RS256"))


def test_a_token_of_another_key_or_with_other_claims_is_refused(tokens):
    refused(tokens, token(key=ec.generate_private_key(ec.SECP256R1())))
    head, _, signature = token().split(b".")
    payload = base64.urlsafe_b64encode(json.dumps(claims(scope="admin")).encode()).rstrip(b"=")
    refused(tokens, b".".join((head, payload, signature)))


@pytest.mark.parametrize("bearer", [b"", b"x", b"a.b.c", b"..", b"\xff\xff", b"eyJhbGciOiJub25lIn0..", b"." * 5_000])
def test_what_is_no_token_is_refused(tokens, bearer):
    refused(tokens, bearer)


def test_a_header_that_names_no_key_of_the_set_is_refused(tokens):
    assert "no key" in refused(tokens, token(kid="another"))
    assert "no key" in refused(tokens, token(kid=None))


def test_a_token_without_a_key_id_is_verified_by_the_only_key(tokens, key_set):
    key_set.keys = {"ES256": key_set.keys["ES256"]}
    assert tokens.credential(token(kid=None)).id == "jwt/ann"


def test_a_verified_token_is_remembered_for_a_minute_and_never_beyond_its_end(key_set, monkeypatch):
    now = time.time()
    tokens = Tokens(AccessConfig(issuer=ISSUER, audience=AUDIENCE), key_set, most_waiting=1, clock=lambda: now)
    verified = []
    monkeypatch.setattr(tokens, "_claims", lambda bearer: verified.append(bearer) or claims(exp=ends_at))
    for ends_at, seconds, times in ((int(now) + 300, 59, 1), (int(now) + 300, 61, 2), (int(now) - 25, 6, 2)):
        verified.clear()
        bearer = token(exp=int(now) + 300, jti=str((ends_at, seconds)))
        tokens.credential(bearer)
        tokens.credential(bearer)
        assert len(verified) == 1
        now += seconds
        tokens.credential(bearer)
        assert len(verified) == times
        now -= seconds


def test_remembered_tokens_are_bounded(tokens, monkeypatch):
    monkeypatch.setattr(tokens, "_claims", lambda _: claims())
    for number in range(_MAX_REMEMBERED + 100):
        tokens.credential(b"%d" % number)
    assert len(tokens._verified) == _MAX_REMEMBERED


def test_what_a_subject_uses_counts_over_all_its_tokens(tokens):
    first, second = tokens.credential(token(jti="1")), tokens.credential(token("RS256", jti="2"))
    assert first.usage is second.usage
    assert tokens.credential(token(sub="bob")).usage is not first.usage


async def test_a_key_that_leaves_the_set_verifies_nothing_any_more(tokens, key_set, tmp_path):
    bearer = token()
    tokens.credential(bearer)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public("RS256")]}))
    await key_set.read()
    assert "no key" in refused(tokens, bearer)


async def test_the_last_good_set_holds_while_a_new_one_cannot_be_had(tokens, key_set, tmp_path):
    for content in ("broken", '{"keys": []}', "[]", '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "ES256"}]}'):
        (tmp_path / "jwks.json").write_text(content)
        with pytest.raises(AccessError):
            await key_set.read()
        assert tokens.credential(token(jti=content)).holds()
    (tmp_path / "jwks.json").chmod(0o666)
    with pytest.raises(AccessError, match="may write the key set"):
        await key_set.read()
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(AccessError, match="cannot be read"):
        await key_set.read()
    assert tokens.credential(token()).holds()


def test_only_keys_for_signatures_of_the_three_algorithms_are_taken():
    secret = HMACAlgorithm.to_jwk(b"x" * 32, as_dict=True)
    others = [
        secret | {"kid": "oct"},
        public("RS256", kid="enc", use="enc"),
        public("RS256", kid="RS512", alg="RS512"),
        ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True) | {"kid": "P-384"},
        {"kty": "??"},
        public("RS256", kid=["a list"]),
    ]
    assert keys_in(json.dumps({"keys": [*others, *SET]}).encode()).keys() == KEYS.keys()


async def test_an_unknown_key_has_the_set_read_again_once_a_minute_at_most(tokens, key_set, monkeypatch):
    refused(tokens, token(kid="new"))
    assert not key_set._is_wanted.is_set()
    later = time.monotonic() + 61
    monkeypatch.setattr(of_key_set.time, "monotonic", lambda: later)
    waiting = asyncio.ensure_future(key_set.until_due())
    refused(tokens, token(kid="new"))
    await asyncio.wait_for(waiting, 5)
    await key_set.read()
    refused(tokens, token(kid="new"))
    assert not key_set._is_wanted.is_set()


async def test_a_set_is_read_again_sooner_after_a_failure_and_soonest_while_there_is_none(key_set, tmp_path):
    assert key_set.pause_s == 600
    (tmp_path / "jwks.json").unlink()
    with pytest.raises(AccessError):
        await key_set.read()
    assert key_set.pause_s == 60
    assert KeySet("https://id.example.com/keys").pause_s == 5
