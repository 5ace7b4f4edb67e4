"""A certificate for the `wss` listener, made at start: self-signed, for loopback names only, valid for a week."""

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chatops.runtime import write_private

_LIFETIME = dt.timedelta(days=7)
_LEEWAY = dt.timedelta(minutes=10)


def make_tls_context(certificate_path: Path) -> ssl.SSLContext:
    """Make a key and a certificate; write only the certificate (PEM), so that clients can be told to trust it.

    Raises:
        OSError: the certificate cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chatops local stack")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + _LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("localhost"),
                    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                    x509.IPAddress(ipaddress.ip_address("::1")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(certificate_path, public.decode("ascii"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # ssl reads chains from files only: the key is in one for as long as that takes, readable by its owner alone.
    handle, temporary = tempfile.mkstemp(dir=certificate_path.parent, prefix=".chain.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(private + public)
        context.load_cert_chain(temporary)
    finally:
        Path(temporary).unlink()
    return context
