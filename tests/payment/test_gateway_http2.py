"""HTTP/2 where the gateway offers it: the check over TLS against a server that speaks nothing else."""

import asyncio
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.payment.gateway import GatewayClient

INTENT = {"id": "pi_1", "status": "succeeded", "amount": 5, "amount_received": 5, "currency": "vnd"}


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    moment = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "gateway.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of one connection with the same intent."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    while data := await reader.read(65_536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.StreamEnded) and event.stream_id:
                headers = [(":status", "200"), ("content-type", "application/json"), ("request-id", "req_h2")]
                connection.send_headers(event.stream_id, headers)
                connection.send_data(event.stream_id, json.dumps(INTENT).encode(), end_stream=True)
        writer.write(connection.data_to_send())
        await writer.drain()
    writer.close()


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    pem = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", pem


async def test_calls_share_one_http_2_connection(address: tuple[str, Path]) -> None:
    url, pem = address
    versions: list[str] = []

    async def note(answer: httpx.Response) -> None:
        versions.append(answer.http_version)

    context = ssl.create_default_context(cafile=str(pem))
    async with httpx.AsyncClient(http2=True, verify=context, event_hooks={"response": [note]}) as http:
        client = GatewayClient(url=url, key="sk_test_1", http=http, total_seconds=5)
        intents = await asyncio.gather(*(client.confirm_intent(f"pi_{n}", key=f"k{n}") for n in range(5)))

    assert versions == ["HTTP/2"] * 5
    assert {intent.status for intent in intents} == {"succeeded"}


async def test_the_house_offers_http_2_to_the_world_outside() -> None:
    from services.payment.app import create_app  # noqa: PLC0415
    from tests.payment.conftest import settings_for  # noqa: PLC0415 — starts no world

    app = create_app(settings_for("postgresql://nobody@127.0.0.1:1/none"))
    pool = app.state.http._transport._pool

    assert (pool._http1, pool._http2) == (True, True)
    await app.state.http.aclose()
    await app.state.till_engine.dispose()
