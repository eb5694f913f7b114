"""Addresses in object stores: which are understood, and what never belongs into one.

`scheme://bucket/key?options`. The key is taken as it is, with no decoding: '#', '%' and spaces are part of
names. What follows the last '?' is options only if it looks like them (`word=value&...`).
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from binclf.errors import ConfigError

OPTIONS = {
    "s3": ("anonymous", "endpoint_override", "force_virtual_addressing", "region", "scheme"),
    "gs": ("anonymous", "endpoint_override", "project_id", "scheme"),
}
FLAGS = ("anonymous", "force_virtual_addressing")
SECRETS = ("key", "secret", "token", "password", "passwd", "pwd", "sig", "credential")
NO_SECRETS = ("sslkey", "ssl_key")  # of databases: where the key lies
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER = re.compile(r"//[^/\s]*@")
_OPTION = re.compile(r"([?&;](\w+)=)[^&;\s'\"]*")
_OPTIONS = re.compile(r"\w+=[^&?]*(&\w+=[^&?]*)*")


def is_uri(text: str) -> bool:
    """Whether a text is an address rather than a local path.

    >>> is_uri("s3://bucket/key"), is_uri("data/flights"), is_uri("C:/data")
    (True, False, False)
    """
    return bool(_URI.match(text))


def parted(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket with key, and options, as they stand.

    >>> parted("s3://bucket/a#1/x?.parquet"), parted("s3://bucket/?region=eu-west-1")
    (('s3', 'bucket/a#1/x?.parquet', ''), ('s3', 'bucket/', 'region=eu-west-1'))
    """
    scheme, _, rest = uri.partition("://")
    key, mark, options = rest.rpartition("?")
    if mark and _OPTIONS.fullmatch(options):
        return scheme.lower(), key, options
    return scheme.lower(), rest, ""


def without_secrets(text: str) -> str:
    """A text without the users and passwords of the addresses in it.

    >>> without_secrets("GET http://me:s@cret@mlflow/x failed")
    'GET http://mlflow/x failed'
    >>> without_secrets("postgresql://db/runs?user=me&password=secret")
    'postgresql://db/runs?user=me&password=***'
    """
    return _OPTION.sub(lambda own: f"{own[1]}***" if _is_secret(own[2]) else own[0], _USER.sub("//", text))


def options_with_secrets(uri: str) -> list[str]:
    """The names of an address's options that are passwords and the like."""
    return [own[2] for own in _OPTION.finditer(uri) if _is_secret(own[2])]


def _is_secret(name: str) -> bool:
    return name.lower() not in NO_SECRETS and any(word in name.lower() for word in SECRETS)


def check_uri(text: str, setting: str) -> None:
    """Refuse an address that cannot be used, or that holds a secret; the secret is not shown.

    Raises:
        ConfigError: the scheme is unknown, the bucket is missing or a pattern, a credential or an option
            that has no effect is in it.
    """
    scheme, key, query = parted(text)
    options = dict(parse_qsl(query, keep_blank_values=True))
    bucket = key.partition("/")[0]
    if "@" in bucket or any(map(_is_secret, options)):
        raise ConfigError(
            f"{setting} holds credentials, which would be stored with every run: take them out, and give "
            "them by the environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role)."
        )
    if scheme == "file":
        return
    family = "gs" if scheme == "gcs" else scheme
    if family not in OPTIONS:
        raise ConfigError(
            f"{setting} = '{text}': addresses begin with s3://, gs:// or file://; anything else is a "
            "local path."
        )
    if not bucket or any(mark in bucket for mark in "*?["):
        raise ConfigError(f"{setting} = '{text}' names no bucket: {scheme}://BUCKET/FOLDER.")
    if ".." in key.split("/"):
        raise ConfigError(f"{setting} = '{text}': object stores have no '..': write the whole address.")
    for name, value in options.items():
        _check_option(setting, text, OPTIONS[family], name, value)
    if "scheme" in options and "endpoint_override" not in options:
        raise ConfigError(f"{setting} = '{text}': option 'scheme' has no effect without endpoint_override.")


def _check_option(setting: str, text: str, known: tuple[str, ...], name: str, value: str) -> None:
    if name not in known:
        raise ConfigError(
            f"{setting} = '{text}': after '?' stand options ({', '.join(known)}), and '{name}' is none."
        )
    if not value or (name in FLAGS and value not in ("true", "false")):
        needed = "true or false" if name in FLAGS else "a value"
        raise ConfigError(f"{setting} = '{text}': option '{name}' needs {needed}.")
