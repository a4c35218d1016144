"""The settings of who may use a gateway: what belongs together, and what an open gateway may not do."""

import pytest

from gateway.access.config import AccessConfig, AccessError, access_from, check_certificate, check_listen, is_loopback

TOKENS = {
    "HOLDFAST_JWKS": "https://id.example.com/keys",
    "HOLDFAST_JWT_ISSUER": "https://id.example.com",
    "HOLDFAST_JWT_AUDIENCE": "holdfast",
}


def test_without_settings_a_gateway_is_open():
    assert access_from({}).is_open
    assert access_from({"HOLDFAST_KEYS_FILE": ""}).is_open


def test_the_settings_come_from_the_environment():
    access = access_from(
        TOKENS
        | {
            "HOLDFAST_KEYS_FILE": "keys.json",
            "HOLDFAST_HOSTS": "Stock.example.com, gateway:8080,",
            "HOLDFAST_TLS_CERT": "cert.pem",
            "HOLDFAST_TLS_KEY": "key.pem",
        }
    )
    assert not access.is_open
    assert (str(access.keys_file), access.jwks) == ("keys.json", "https://id.example.com/keys")
    assert (access.issuer, access.audience) == ("https://id.example.com", "holdfast")
    assert access.hosts == {"stock.example.com", "gateway:8080"}
    assert (str(access.tls_cert), str(access.tls_key)) == ("cert.pem", "key.pem")


@pytest.mark.parametrize("missing", TOKENS)
def test_the_settings_of_tokens_come_together(missing):
    given = {name: value for name, value in TOKENS.items() if name != missing}
    with pytest.raises(AccessError, match=f"set {missing} as well"):
        access_from(given)
    assert access_from(TOKENS).issuer == "https://id.example.com"


def test_a_certificate_needs_its_key():
    with pytest.raises(AccessError, match="set HOLDFAST_TLS_KEY as well"):
        access_from({"HOLDFAST_TLS_CERT": "cert.pem"})


@pytest.mark.parametrize(
    "url", ["http://id.example.com/keys", "ftp://x/y", "https://", "https://me:pass@id.example.com"]
)
def test_a_key_set_comes_from_a_file_or_over_https(url):
    with pytest.raises(AccessError, match="HOLDFAST_JWKS must"):
        access_from(TOKENS | {"HOLDFAST_JWKS": url})
    assert access_from(TOKENS | {"HOLDFAST_JWKS": "keys/jwks.json"}).jwks == "keys/jwks.json"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example.com", ""])
def test_an_open_gateway_is_not_reached_from_elsewhere(host, tmp_path):
    with pytest.raises(AccessError, match="holdfast keys new"):
        check_listen(host, AccessConfig())
    check_listen(host, AccessConfig(keys_file=tmp_path / "keys.json"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "[::1]"])
def test_loopback_is_this_machine_alone(host):
    assert is_loopback(host)
    check_listen(host, AccessConfig())


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    check_certificate(AccessConfig())
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(AccessError, match="HOLDFAST_TLS_CERT"):
        check_certificate(AccessConfig(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem"))
