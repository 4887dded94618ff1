"""Google's tokens, as the upstream grants them: asked for once, renewed ahead of their end, and replaced once
when they are rejected."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from cases import SCENARIOS, UNARY
from servers import Upstream
from talk import Stub, Wrong, ask, expect, params, user

PLAIN = next(case for case in SCENARIOS if case.name == "plain")
# So many at once.
CROWD = 24


def renewals(stub: Stub, upstream: Upstream, account: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is tested, in this order: each step goes on from the token of the one before."""

    def one() -> None:
        messages = [user("plain")]
        answer = ask(stub, UNARY, params("vertex:gemini-2.5-pro", messages, PLAIN))
        if answer.completion is None:
            raise Wrong(f"failed with {answer.reason}")

    def crowd() -> None:
        with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
            for done in [pool.submit(one) for _ in range(CROWD)]:
                done.result()

    def grants() -> int:
        return sum(entry["provider"] == "google_token" for entry in upstream.ask("journal"))

    def refusals() -> int:
        return sum(violation["rule"] == "vertex.token" for violation in upstream.ask("violations"))

    def revoke(ttl: int) -> None:
        """No token that has been granted is good any more; the next are good for `ttl` seconds."""
        upstream.tell("script", {"journal": 100_000, "token_ttl": ttl})
        upstream.tell("reset")
        # Without any token the upstream would take all of them.
        grant_foreign(upstream, account)

    def a_revoked_token_is_replaced_once_by_a_crowd() -> None:
        one()
        # What was granted a moment ago would not be replaced: a provider that rejects that rejects all.
        time.sleep(6)
        revoke(ttl=8)
        before = grants()
        crowd()
        expect("tokens granted", grants() - before, 1)
        if not 1 <= refusals() <= CROWD:
            raise Wrong(f"{refusals()} refusals")

    def a_token_is_renewed_ahead_of_its_end() -> None:
        # Half of its eight seconds are over.
        time.sleep(4.3)
        before, refused = grants(), refusals()
        crowd()
        expect("tokens granted", grants() - before, 1)
        expect("refusals", refusals() - refused, 0)

    def an_expired_token_is_replaced_before_it_is_used() -> None:
        time.sleep(8.5)
        before, refused = grants(), refusals()
        crowd()
        expect("tokens granted", grants() - before, 1)
        expect("refusals", refusals() - refused, 0)

    yield "a revoked token is replaced once by a crowd", a_revoked_token_is_replaced_once_by_a_crowd
    yield "a token is renewed ahead of its end", a_token_is_renewed_ahead_of_its_end
    yield "an expired token is replaced before it is used", an_expired_token_is_replaced_before_it_is_used


def grant_foreign(upstream: Upstream, account: Path) -> None:
    """Has a token granted to somebody else."""
    key = json.loads(account.read_text())
    now = int(time.time())
    claims = {
        "iss": "somebody@kit.example",
        "aud": key["token_uri"],
        "iat": now,
        "exp": now + 600,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
    }
    signed = ".".join(map(encode, ({"alg": "RS256", "typ": "JWT"}, claims)))
    private = serialization.load_pem_private_key(key["private_key"].encode(), None)
    signature = private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())  # type: ignore[union-attr, call-arg]
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": f"{signed}.{encode_bytes(signature)}",
    }
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{upstream.url}/token", data, timeout=30) as answer:
        answer.read()


def encode(value: object) -> str:
    return encode_bytes(json.dumps(value).encode())


def encode_bytes(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
