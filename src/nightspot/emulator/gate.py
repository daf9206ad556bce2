"""Who may ask at all. The emulator runs code that it is sent: only local, signed requests of no browser come in.

A signature is not checked (there is no secret to check it by), but it has to be there: no web page can send one by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping
from urllib.parse import parse_qs

from nightspot.emulator.errors import ApiError

CREDENTIAL = re.compile(r"([A-Za-z0-9_-]{3,128})/([0-9]{8})/([a-z0-9-]{1,40})/([a-z0-9-]{1,40})/aws4_request")
SIGNED = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})\s*"
)
HOSTS = ("127.0.0.1", "localhost")
MIB = 1024 * 1024
# AWS's own largest CreateTrainingJob is far smaller; an S3 part is at most 5 GiB.
LARGEST_BYTES = {"sagemaker": 2 * MIB, "servicequotas": MIB, "s3": 5 * 1024 * MIB}
LARGEST_OTHER_BYTES = 32 * MIB


@dataclass(frozen=True, slots=True)
class Caller:
    """From the credential scope: which service is meant, in which region, and by whose key."""

    service: str
    region: str
    access_key: str


def admit(environ: Mapping[str, Any], port: int) -> Caller:
    """Let it in, or ApiError. Nothing of the request's body has been read."""
    host = str(environ.get("HTTP_HOST", ""))
    if host not in {f"{name}:{port}" for name in HOSTS}:
        raise _denied(f"the Host header must be 127.0.0.1:{port}, not {host[:80]!r}")
    if "HTTP_ORIGIN" in environ:
        raise _denied("requests of web pages (with an Origin header) are refused")
    caller = _caller(environ)
    _refuse_large(environ, LARGEST_BYTES.get(caller.service, LARGEST_OTHER_BYTES))
    return caller


def _caller(environ: Mapping[str, Any]) -> Caller:
    header = str(environ.get("HTTP_AUTHORIZATION", ""))
    signed = SIGNED.fullmatch(header)
    if signed is not None:
        credential = signed[1]
    else:
        query = parse_qs(str(environ.get("QUERY_STRING", "")))
        credential = query.get("X-Amz-Credential", [""])[0] if "X-Amz-Signature" in query and not header else ""
    scope = CREDENTIAL.fullmatch(credential)
    if scope is None:
        code = "IncompleteSignatureException" if header else "MissingAuthenticationTokenException"
        raise ApiError(code, "a request needs a signature (AWS Signature Version 4), with any credentials", 403)
    if signed is None and scope[4] != "s3":
        raise _denied("only S3 requests may be signed in their address")
    return Caller(scope[4], scope[3], scope[1])


def _refuse_large(environ: Mapping[str, Any], most_bytes: int) -> None:
    length = str(environ.get("CONTENT_LENGTH") or "0")
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise ApiError("InvalidRequest", "Content-Length is no number", 400)
    if environ.get("HTTP_TRANSFER_ENCODING"):
        raise ApiError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    if int(length) > most_bytes:
        raise ApiError("RequestEntityTooLargeException", f"a body may have at most {most_bytes} bytes", 413)


def _denied(why: str) -> ApiError:
    return ApiError("AccessDeniedException", f"nightspot's emulator: {why}", 403)
