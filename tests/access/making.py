"""Keys and tokens made for the tests, and requests that bear them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tusd_py.interfaces import Access, Operation, RequestInfo
from tusd_py.protocol.model import Upload, UploadId

HOUR_S = 3600
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - made for the tests
UPLOAD = Upload(id=UploadId("a"), length=3, owner="anna")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """Return an RSA key, the same one for the same number."""
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """Return a key on P-256, the same one for the same number."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    """Return an Ed25519 key."""
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: PrivateKey) -> bytes:
    """Return the public half."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, **members: Any) -> dict[str, Any]:
    """Return the public half as a JSON Web Key."""
    if isinstance(key, rsa.RSAPrivateKey):
        text = RSAAlgorithm.to_jwk(key.public_key())
    else:
        text = ECAlgorithm.to_jwk(key.public_key())
    return {**json.loads(text), **members}


def jwks(*keys: dict[str, Any]) -> bytes:
    """Return a JSON Web Key Set."""
    return json.dumps({"keys": keys}).encode()


def token(
    key: PrivateKey | str = SECRET,
    algorithm: str = "HS256",
    *,
    kid: str | None = None,
    ends_in_s: float | None = HOUR_S,
    **claims: Any,
) -> str:
    """Return a token for anna that is good for an hour, but for what is said."""
    payload: dict[str, Any] = {"sub": "anna", **claims}
    if ends_in_s is not None:
        payload["exp"] = int(time.time() + ends_in_s)
    headers = None if kid is None else {"kid": kid}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


def request(*authorization: str) -> RequestInfo:
    """Return a request with these Authorization fields."""
    headers = {"Authorization": authorization} if authorization else {}
    return RequestInfo(method="PATCH", uri="/files/a", remote="127.0.0.1", headers=headers)


def access(*authorization: str, operation: Operation = Operation.APPEND) -> Access:
    """Return a request for permission with these Authorization fields."""
    upload = None if operation is Operation.CREATE else UPLOAD
    return Access(operation=operation, request=request(*authorization), upload=upload)


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
