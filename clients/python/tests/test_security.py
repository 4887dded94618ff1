"""Who calls, and over what: bearer tokens, TLS and mutual TLS, against the real server."""

import hashlib
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runwire import (
    Agent,
    AsyncClient,
    Client,
    HostedTool,
    PermissionDenied,
    Runner,
    Tls,
    ToolHost,
    Unauthenticated,
    Unavailable,
)

TOKEN = "a-token-of-these-tests"


def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"{city}: sun"


@contextmanager
def serving(folder: Path, config: str) -> Iterator[Server]:
    server = Server(folder, config + "\n[server]\ndrain = '1s'\n")
    try:
        yield server
    finally:
        server.stop()


def token(name: str, secret: str, *scopes: str) -> str:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return (
        f"[[token]]\nname = '{name}'\ntenant = 'acme'\nscopes = {list(scopes)}\nsha256 = '{digest}'\n"
        "host_tools = ['*']\nuse_tools = ['*']\n"
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    everything = ("completions", "runs.write", "runs.read", "tools.host", "tools.use")
    (folder / "tokens.toml").write_text(
        token("billing", TOKEN, *everything) + token("reader", "of-little", "runs.read")
    )
    with serving(folder, "[auth]\nmode = 'tokens'\ntokens_file = 'tokens.toml'") as server:
        yield server


async def test_a_bearer_token_opens_every_kind_of_call(guarded: Server) -> None:
    async with AsyncClient(guarded.address, token=TOKEN) as client, ToolHost(client, [weather]):
        assert (await client.complete("script:echo", "Hi")).text == "Hi"
        stream = await client.stream("script:echo", "Hi there")
        assert "".join([text async for text in stream.text()]) == "Hi there"
        agent = Agent(name="guide", model="script:demo", tools=[HostedTool("weather")])
        run = await client.runs.create(agent, "What is the weather in Lisbon?")
        assert "Lisbon: sun" in str((await client.runs.wait(run.id)).output)
        attached = Agent(name="guide", model="script:demo", tools=[weather])
        result = await Runner.run(attached, "What is the weather in Oslo?", client=client)
        assert "Oslo: sun" in str(result.final_output)
        assert result.run.creator == "billing"


async def test_a_token_is_taken_from_the_environment(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWIRE_TOKEN", TOKEN)
    monkeypatch.setenv("RUNWIRE_SERVER", f"http://{guarded.address}")
    async with AsyncClient() as client:
        assert (await client.complete("script:echo", "Hi")).text == "Hi"


@pytest.mark.parametrize(
    ("secret", "reason"), [(None, "CREDENTIALS_MISSING"), ("another", "CREDENTIALS_INVALID")]
)
async def test_without_a_good_token_every_kind_of_call_is_refused(
    guarded: Server, secret: str | None, reason: str
) -> None:
    async with AsyncClient(guarded.address, token=secret) as client:
        with pytest.raises(Unauthenticated) as unary:
            await client.complete("script:echo", "Hi")
        with pytest.raises(Unauthenticated) as attached:
            await Runner.run(Agent(name="a", model="script:echo"), "Hi", client=client)
        with pytest.raises(Unauthenticated) as hosting:
            await ToolHost(client, [weather]).start()
        with pytest.raises(Unauthenticated) as listing:
            [run async for run in client.runs.list()]
    assert {unary.value.reason, attached.value.reason, hosting.value.reason, listing.value.reason} == {reason}


async def test_a_scope_that_the_token_lacks_is_named(guarded: Server) -> None:
    async with AsyncClient(guarded.address, token="of-little") as client:
        assert [run async for run in client.runs.list(agent_name="nobody")] == []
        with pytest.raises(PermissionDenied) as caught:
            await client.complete("script:echo", "Hi")
    assert caught.value.reason == "PERMISSION_DENIED"
    assert caught.value.metadata["scope"] == "completions"


@dataclass
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; its own is a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {folder.name}")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        own = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self.file = self._write("ca.pem", own.sign(self._key, hashes.SHA256()))

    def issue(self, name: str) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([x509.DNSName(name), address])
        certificate = self._builder(subject, key).add_extension(names, critical=False)
        path = self._folder / f"{name}.key"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Identity(self._write(f"{name}.pem", certificate.sign(self._key, hashes.SHA256())), path)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def tls_of(server: Identity) -> str:
    return f"[server.tls]\ncert = '{server.certificate}'\nkey = '{server.key}'\n"


@pytest.fixture(scope="module")
def encrypted(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("tls"), tls_of(authority.issue("server.test"))) as server:
        yield server


async def test_a_server_with_a_certificate_is_reached_over_tls(
    encrypted: Server, authority: Authority
) -> None:
    async with AsyncClient(f"https://{encrypted.address}", tls=Tls(ca=authority.file)) as client:
        agent = Agent(name="guide", model="script:demo", tools=[weather])
        result = await Runner.run(agent, "What is the weather in Lisbon?", client=client)
    assert "Lisbon: sun" in str(result.final_output)


def test_synchronous_code_speaks_tls_to_a_server_of_another_name(
    encrypted: Server, authority: Authority
) -> None:
    tls = Tls(ca=authority.file, server_name="server.test")
    with Client(encrypted.address, tls=tls) as client:
        assert client.complete("script:echo", "Hi").text == "Hi"


async def test_a_server_is_not_trusted_without_a_reason(
    encrypted: Server, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    wrong_name = Tls(ca=authority.file, server_name="another.test")
    for target, tls in (
        (f"https://{encrypted.address}", None),
        (encrypted.address, Tls(ca=stranger.file)),
        (encrypted.address, wrong_name),
        (encrypted.address, None),
    ):
        async with AsyncClient(target, tls=tls) as client:
            with pytest.raises(Unavailable):
                await client.complete("script:echo", "Hi", timeout=10)


@pytest.fixture(scope="module")
def mutual(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = (
        tls_of(authority.issue("server.test"))
        + f"client_ca = '{authority.file}'\n"
        + "[auth]\nmode = 'mtls'\n"
        + "[auth.principals.'billing.acme']\ntenant = 'acme'\nscopes = ['completions']\n"
    )
    with serving(tmp_path_factory.mktemp("mtls"), config) as server:
        yield server


async def test_a_caller_is_known_by_its_certificate(mutual: Server, authority: Authority) -> None:
    known = authority.issue("billing.acme")
    tls = Tls(ca=authority.file, certificate=known.certificate, key=known.key)
    async with AsyncClient(mutual.address, tls=tls) as client:
        assert (await client.complete("script:echo", "Hi")).text == "Hi"
        with pytest.raises(PermissionDenied):
            await client.runs.get("run_00000000000000000000000000000007")


async def test_a_certificate_that_is_not_known_is_refused(mutual: Server, authority: Authority) -> None:
    unknown = authority.issue("stranger.acme")
    tls = Tls(ca=authority.file, certificate=unknown.certificate, key=unknown.key)
    async with AsyncClient(mutual.address, tls=tls) as client:
        with pytest.raises(Unauthenticated) as caught:
            await client.complete("script:echo", "Hi")
    assert caught.value.reason == "CREDENTIALS_INVALID"


async def test_without_a_certificate_of_the_authority_there_is_no_connection(
    mutual: Server, authority: Authority, tmp_path: Path
) -> None:
    forged = Authority(tmp_path).issue("billing.acme")
    for tls in (
        Tls(ca=authority.file),
        Tls(ca=authority.file, certificate=forged.certificate, key=forged.key),
    ):
        async with AsyncClient(mutual.address, tls=tls) as client:
            with pytest.raises(Unavailable):
                await client.complete("script:echo", "Hi", timeout=10)
