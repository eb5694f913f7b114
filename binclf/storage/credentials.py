"""Whether credentials for a store are seen at all, so that who has none is told so."""

from __future__ import annotations

import os
from pathlib import Path

CREDENTIALS = (  # where AWS's own chain finds some; others are a machine's role, which nothing tells of
    "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)  # fmt: skip


def lacking_credentials(scheme: str, options: str) -> str:
    """What to tell where no credentials for S3 are seen (a machine's role may give some); else empty."""
    if scheme != "s3" or "anonymous" in options:
        return ""
    files = [
        Path(os.environ.get(name, "") or Path.home() / ".aws" / default)
        for name, default in (("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ("AWS_CONFIG_FILE", "config"))
    ]
    if any(os.environ.get(name) for name in CREDENTIALS) or any(file.exists() for file in files):
        return ""
    return (
        "No credentials are set here: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; public "
        "data need none where the address ends in ?anonymous=true."
    )
