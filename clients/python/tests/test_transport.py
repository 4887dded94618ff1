"""Connections."""

import asyncio
import subprocess
from pathlib import Path

import pytest
from conftest import BINARY, Server

from runwire import AsyncClient, Client, PermissionDenied, Unauthenticated


async def test_a_server_that_is_slow_to_greet_is_reached(server: Server) -> None:
    over = asyncio.Event()
    host, port = server.address.rsplit(":", 1)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))
        await asyncio.gather(writer.wait_closed(), to_writer.wait_closed())
        over.set()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as far:
        port_of_relay = far.sockets[0].getsockname()[1]
        async with AsyncClient(f"127.0.0.1:{port_of_relay}") as client:
            assert (await client.complete("script:echo", "hello", timeout=10)).text == "hello"
        await asyncio.wait_for(over.wait(), 10)


def test_a_bearer_token_says_who_calls(tmp_path: Path) -> None:
    command = [BINARY, "token", "new", "--name", "bob", "--scope", "completions"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    tokens, token = tmp_path / "tokens.toml", made.stderr.split()[-1]
    tokens.write_text(made.stdout)
    server = Server(tmp_path, f"[auth]\nmode='tokens'\ntokens_file='{tokens}'\n")
    try:
        with Client(server.address, token=token) as client:
            assert client.complete("script:echo", "hello").text == "hello"
            with pytest.raises(PermissionDenied) as denied:
                list(client.runs.list())
            assert denied.value.metadata == {"scope": "runs.read"}
        for wrong, reason in ((None, "CREDENTIALS_MISSING"), (token + "x", "CREDENTIALS_INVALID")):
            with Client(server.address, token=wrong) as client, pytest.raises(Unauthenticated) as refused:
                client.complete("script:echo", "hello")
            assert refused.value.reason == reason
    finally:
        server.stop()
    assert token not in "".join(server.log)
