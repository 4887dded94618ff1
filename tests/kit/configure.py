"""The configuration of the server under test: a provider for each family, at the upstream."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from families import FAMILIES, Family
from servers import Upstream
from talk import IMPATIENT


def service_account(upstream: Upstream) -> Path:
    """A key of Google's, for tokens of the upstream."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "kit",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "kit@kit.example",
        "token_uri": f"{upstream.url}/token",
    }
    file = Path(tempfile.mkdtemp(prefix="runwire-kit-")) / "account.json"
    file.write_text(json.dumps(account))
    return file


def config(upstream: Upstream, account: Path) -> str:
    """The text of the file. Nothing is tried again: each cell is about one request."""

    def section(family: Family, prefix: str) -> str:
        lines = [
            f"[providers.{prefix}{family.name}]",
            f'kind = "{family.kind}"',
            f'base_url = "{upstream.url}{family.path}"',
        ]
        # A key of Bedrock's own would go before the signature.
        if family.kind != "aws":
            lines.append('api_key_env = "KIT_KEY"')
        if prefix:
            lines += ['first_byte_timeout = "1s"', 'idle_timeout = "1s"', 'timeout = "2s"']
        if family.parameters:
            lines.append(f"[providers.{prefix}{family.name}.parameters]")
            lines += [
                f'{key} = "{value.format(account=account)}"' for key, value in family.parameters.items()
            ]
        return "\n".join(lines)

    sections = [section(family, prefix) for family in FAMILIES for prefix in ("", IMPATIENT)]
    return "[retry]\nmax_attempts = 1\n" + "\n\n".join(sections) + "\n"
