"""Kafka's variables make the options of every client, or a sentence that says what is wrong."""

import base64
import hashlib
import hmac
import ssl
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection
from cryptography.hazmat.primitives import serialization

from agents.transport import ConnectedProducer
from ops.kafka.certificates import ensure_certificates
from schemas.kafka_connection import VARIABLES, KafkaSettingsError, kafka_options


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return files by a short name: certificates, keys, a password, and some that cannot be used."""
    folder = tmp_path_factory.mktemp("files")
    ensure_certificates(folder / "ca", folder / "cert", "kafka.example")
    key = serialization.load_pem_private_key((folder / "cert").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    (folder / "locked").write_bytes(locked)
    (folder / "unlock").write_text("open sesame\n")
    (folder / "wrong").write_text("sesame")
    (folder / "secret").write_text("s3cret\n")
    (folder / "empty").write_text("\n")
    (folder / "bytes").write_bytes(b"\xff\xfe")
    return folder


def settings(files, text):
    """Return variables, given as `CA=ca SASL=PLAIN`: a value that names a file is its path."""
    pairs = dict(pair.split("=") for pair in text.split())
    return {f"HOLDFAST_KAFKA_{name}": str(files / it) if (files / it).exists() else it for name, it in pairs.items()}


SCRAM = "SASL=SCRAM-SHA-512 USERNAME=gateway PASSWORD_FILE=secret"


@pytest.mark.parametrize("text", ["", "SECURITY=PLAINTEXT"])
def test_without_settings_a_client_is_made_as_ever(files, text):
    assert kafka_options(settings(files, text)) == {}
    assert kafka_options(dict.fromkeys(VARIABLES, "")) == {}


@pytest.mark.parametrize("text", ["SECURITY=SSL", "SECURITY=SSL CA=ca", f"SECURITY=SASL_SSL CA=ca {SCRAM}"])
def test_tls_checks_the_brokers_name_and_is_1_2_at_least(files, text):
    context = kafka_options(settings(files, text))["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_password_is_read_from_its_file_and_never_shown(files):
    options = kafka_options(settings(files, f"SECURITY=SASL_SSL CA=ca {SCRAM}"))
    assert options["sasl_plain_password"].read() == "s3cret"
    assert "s3cret" not in f"{options} {options['sasl_plain_password']}"


@pytest.mark.parametrize(
    "text", ["SECURITY=SSL CERT=cert KEY=cert", "SECURITY=SSL CERT=cert KEY=locked KEY_PASSWORD_FILE=unlock"]
)
def test_a_client_certificate_may_have_a_locked_key(files, text):
    assert kafka_options(settings(files, text))["ssl_context"]


# What is set, and what the sentence must say.
WRONG = [
    ("SECURITY=TLS", "HOLDFAST_KAFKA_SECURITY is 'TLS'; it may be PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
    ("CA=ca", "HOLDFAST_KAFKA_CA is set, but HOLDFAST_KAFKA_SECURITY is PLAINTEXT; set that to SSL or SASL_SSL"),
    ("USERNAME=me", "HOLDFAST_KAFKA_USERNAME is set, but HOLDFAST_KAFKA_SECURITY is PLAINTEXT; set that to SASL_SSL"),
    ("SECURITY=SSL USERNAME=me", "HOLDFAST_KAFKA_USERNAME is set, but HOLDFAST_KAFKA_SECURITY is SSL"),
    (f"SECURITY=SASL_PLAINTEXT CA=ca {SCRAM}", "_CA is set, but HOLDFAST_KAFKA_SECURITY is SASL_PLAIN"),
    ("SECURITY=SSL CA=nowhere", "HOLDFAST_KAFKA_CA is nowhere, which cannot be read: No such file or directory"),
    ("SECURITY=SSL CA=secret", "HOLDFAST_KAFKA_CA is .*secret, which holds no certificate in PEM"),
    ("SECURITY=SSL CERT=cert", "HOLDFAST_KAFKA_CERT is set without HOLDFAST_KAFKA_KEY"),
    ("SECURITY=SSL KEY=cert", "HOLDFAST_KAFKA_KEY is set without HOLDFAST_KAFKA_CERT"),
    ("SECURITY=SSL KEY_PASSWORD_FILE=secret", "HOLDFAST_KAFKA_KEY_PASSWORD_FILE is set without HOLDFAST_KAFKA_KEY"),
    ("SECURITY=SSL CERT=cert KEY=secret", "HOLDFAST_KAFKA_CERT.*HOLDFAST_KAFKA_KEY.* cannot be used"),
    ("SECURITY=SSL CERT=cert KEY=locked", "locked with a password; set HOLDFAST_KAFKA_KEY_PASSWORD_FILE"),
    ("SECURITY=SSL CERT=cert KEY=locked KEY_PASSWORD_FILE=wrong", "_KEY_PASSWORD_FILE holds the key's password"),
    ("SECURITY=SSL CERT=cert KEY=locked KEY_PASSWORD_FILE=empty", "HOLDFAST_KAFKA_KEY_PASSWORD_FILE is .* it is empty"),
    ("SECURITY=SASL_SSL", "which needs HOLDFAST_KAFKA_SASL, HOLDFAST_KAFKA_USERNAME, HOLDFAST_KAFKA_PASSWORD_FILE"),
    ("SECURITY=SASL_SSL SASL=PLAIN USERNAME=me", "is SASL_SSL, which needs HOLDFAST_KAFKA_PASSWORD_FILE"),
    ("SECURITY=SASL_SSL SASL=GSSAPI USERNAME=me PASSWORD_FILE=secret", "_SASL is 'GSSAPI'; it may be SCRAM"),
    ("SECURITY=SASL_PLAINTEXT SASL=PLAIN USERNAME=me PASSWORD_FILE=secret", "PLAIN, which shows the password"),
    ("SECURITY=SASL_SSL SASL=PLAIN USERNAME=me PASSWORD_FILE=nowhere", "_PASSWORD_FILE is nowhere, .* No such"),
    ("SECURITY=SASL_SSL SASL=PLAIN USERNAME=me PASSWORD_FILE=empty", "HOLDFAST_KAFKA_PASSWORD_FILE is .* it is empty"),
    ("SECURITY=SASL_SSL SASL=PLAIN USERNAME=me PASSWORD_FILE=bytes", "_PASSWORD_FILE is .* no text in UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_wrong_or_half_settings_are_told_in_a_sentence(files, text, sentence):
    with pytest.raises(KafkaSettingsError, match=sentence) as caught:
        kafka_options(settings(files, text))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("client", [AIOKafkaAdminClient, AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
async def test_every_kind_of_client_takes_the_options(files, client, mechanism):
    text = f"SECURITY=SASL_SSL CA=ca {SCRAM}".replace("SCRAM-SHA-512", mechanism)
    made = client(**kafka_options(settings(files, text)))
    await (made.close() if hasattr(made, "close") else made.stop())


def test_fausts_own_producer_takes_the_options(files, monkeypatch):
    for name, value in settings(files, f"SECURITY=SASL_SSL CA=ca {SCRAM}").items():
        monkeypatch.setenv(name, value)
    auth = ConnectedProducer._settings_auth(SimpleNamespace())
    assert (auth["security_protocol"], auth["sasl_plain_username"]) == ("SASL_SSL", "gateway")


async def scram_password(authenticator, candidates):
    """Return which of the passwords a SCRAM client proves to know (RFC 5802, with SHA-256)."""
    first, _ = await authenticator.step(None)
    bare = first.removeprefix(b"n,,")
    nonce = bare.rpartition(b"r=")[2] + b"more"
    server_first = b"r=%s,s=%s,i=4096" % (nonce, base64.b64encode(b"salt"))
    final, _ = await authenticator.step(server_first)
    without_proof, _, proof = final.partition(b",p=")
    message = b",".join([bare, server_first, without_proof])
    for password in candidates:
        client_key = sign(hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 4096), b"Client Key")
        signature = sign(hashlib.sha256(client_key).digest(), message)
        if bytes(a ^ b for a, b in zip(client_key, signature, strict=True)) == base64.b64decode(proof):
            return password
    return None


def sign(key, message):
    return hmac.new(key, message, "sha256").digest()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
async def test_each_connection_reads_the_password_again(files, tmp_path, mechanism):
    secret = tmp_path / "secret"
    secret.write_text("first")
    text = f"SECURITY=SASL_SSL CA=ca {SCRAM}".replace("SCRAM-SHA-512", mechanism)
    options = kafka_options(settings(files, text) | {"HOLDFAST_KAFKA_PASSWORD_FILE": str(secret)})
    seen = []
    for password in ("first", "second"):
        secret.write_text(password)
        connection = AIOKafkaConnection("nowhere", 1, **options)
        if mechanism == "PLAIN":
            seen.append((await connection.authenticator_plain().step(None))[0].split(b"\0")[2].decode())
        else:
            seen.append(await scram_password(connection.authenticator_scram(), ("first", "second")))
    assert seen == ["first", "second"]
