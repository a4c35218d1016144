"""Owns the certificates of an embedded broker with TLS: an authority of its own, and one certificate of the node."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ops.kafka.files import write_private

NODE = "holdfast-broker"
_DAYS = 3_650  # a new authority is trusted only by processes that are started after it
_MAKE_ANEW_DAYS = 30
_ALWAYS = ("localhost", "127.0.0.1", "::1")


def ensure_certificates(ca: Path, node: Path, host: str) -> None:
    """Make the certificates unless they hold for this host for another 30 days.

    The authority's key is thrown away at once, so nobody can make a further certificate with it.

    Args:
        ca: the file for the authority's certificate, which clients trust.
        node: the file for the node's certificate and its key.
        host: the address at which clients reach the node, beside `localhost`.
    """
    names = [_general_name(name) for name in dict.fromkeys([*_ALWAYS, host])]
    if not _still_good(ca, node, names):
        authority_key, authority = _authority()
        node_key, certificate = _certificate(authority_key, authority, names)
        key = node_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(node, key + certificate.public_bytes(Encoding.PEM))
        write_private(ca, authority.public_bytes(Encoding.PEM))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _still_good(ca: Path, node: Path, names: list[x509.GeneralName]) -> bool:
    if not (ca.exists() and node.exists()):
        return False
    found = x509.load_pem_x509_certificate(node.read_bytes())
    of = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names) <= set(of) and found.not_valid_after_utc > _now() + dt.timedelta(days=_MAKE_ANEW_DAYS)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("holdfast-broker-ca")
    return key, _sign(
        key, name, name, key, [(x509.BasicConstraints(ca=True, path_length=0), True), (_usage(ca=True), True)]
    )


def _certificate(
    authority_key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, names: list[x509.GeneralName]
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    # The node is also a client, of its own controller.
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(ca=False), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.SubjectAlternativeName(names), False),
    ]
    return key, _sign(authority_key, authority.subject, _name(NODE), key, extensions)


def _sign(
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - dt.timedelta(hours=1))
        .not_valid_after(_now() + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
