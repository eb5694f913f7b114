"""Addresses in object stores: which are understood, and what never belongs into one."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from binclf.errors import ConfigError

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
S3_OPTIONS = frozenset({"region", "endpoint_override", "scheme", "anonymous", "force_virtual_addressing"})
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_uri(text: str) -> bool:
    """Whether a text is an address rather than a local path.

    >>> is_uri("s3://bucket/key"), is_uri("data/flights"), is_uri("C:/data")
    (True, False, False)
    """
    return bool(_URI.match(text))


def check_uri(text: str, setting: str) -> None:
    """Refuse an address that cannot be used, or that holds a secret.

    Raises:
        ConfigError: the scheme is unknown, the bucket is missing, a credential or an unknown option is in it.
    """
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ConfigError(f"{setting} = '{text}' is no address: {error}.") from error
    if parts.scheme == "file":
        return
    if parts.scheme not in SCHEMES:
        raise ConfigError(
            f"{setting} = '{text}': addresses begin with {', '.join(f'{s}://' for s in SCHEMES)} or file://; "
            "anything else is a local path."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    is_secret = any(word in key.lower() for key in options for word in ("key", "secret", "token", "password"))
    if is_secret or ("@" in parts.netloc and not parts.scheme.startswith("abfs")):
        raise ConfigError(
            f"{setting} holds credentials, which would be stored with every run: take them out, and give "
            "them by the environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role)."
        )
    unknown = sorted(set(options) - S3_OPTIONS) if parts.scheme == "s3" else []
    if unknown:
        known = ", ".join(sorted(S3_OPTIONS))
        raise ConfigError(
            f"{setting} = '{text}': after '?' stand options ({known}), and '{unknown[0]}' is none. In a glob "
            "write * or [...]."
        )
    if not parts.netloc and parts.scheme not in ("hdfs", "viewfs"):
        raise ConfigError(f"{setting} = '{text}' names no bucket: {parts.scheme}://BUCKET/FOLDER.")
