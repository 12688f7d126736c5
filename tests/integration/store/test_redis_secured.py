"""Redis behind TLS and a password: the URL is the only setting, and no message shows the password."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.redis_cluster import redis_cluster
from tests.support.sidecar.process import small_release, start_sidecar
from tests.support.until import until
from winnow.errors import ReleaseMismatch, WinnowError
from winnow.feedback.rebuild import rebuild
from winnow.feedback.streams import entries
from winnow.local import redis as local_redis
from winnow.ports import Ports
from winnow.release import Release
from winnow.store.connection import RedisError, connect, connect_async
from winnow.store.keys import EVENTS, Keys
from winnow.store.publish import check_published, publish
from winnow.store.shared_state import state_of

PASSWORD = "s3cret"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "ca.pem", folder / "key.pem"


@contextmanager
def tls_before(port: int, certificate: tuple[Path, Path]) -> Iterator[int]:
    """A TLS proxy before a server without TLS: the wheel's Redis is built without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    loop = asyncio.new_event_loop()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, before), pass_on(behind, writer))

    door = loop.run_until_complete(asyncio.start_server(meet, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def shut() -> None:
        door.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    try:
        yield door.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(shut(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[str]:
    """``127.0.0.1:PORT`` of a Redis behind TLS with a password."""
    folder, port = tmp_path_factory.mktemp("redis"), Ports.free().redis
    with (
        local_redis.server(folder, port, folder / "redis.log", requirepass=PASSWORD),
        tls_before(port, certificate) as door,
    ):
        yield f"127.0.0.1:{door}"


@pytest.fixture
def url(secured: str, certificate: tuple[Path, Path]) -> str:
    """Its URL, with every setting."""
    return f"rediss://:{PASSWORD}@{secured}/0?ssl_ca_certs={certificate[0]}"


def works(url: str, release: Release, folder: Path) -> None:
    """Publish, run a sidecar process, rebuild, and read as the transformer does."""
    publish(release.folder, url, show_progress=False)
    sidecar = start_sidecar(release, url, folder, Ports.free().sidecar)
    try:
        # Command lines are visible in process lists.
        assert PASSWORD not in Path(f"/proc/{sidecar.pid}/cmdline").read_text()
        with connect(url) as client:
            client.xadd(EVENTS, {"user_id": "anna", "item_id": "item-4", "event": "view", "timestamp": 99})
            until(lambda: client.exists(state_of(release).seen("anna")))
            assert len(list(entries(client))) == 1
    finally:
        sidecar.terminate()
        assert sidecar.wait(20) == 0
    assert PASSWORD not in "".join(log.read_text() for log in folder.glob("*.log"))
    assert rebuild(release, url, show_progress=False).events == 1

    async def read() -> list[bytes]:
        client = connect_async(url)
        try:
            return await client.lrange(state_of(release).history("anna"), 0, -1)
        finally:
            await client.aclose()

    assert asyncio.run(read()) == [b"99|1|item-4"]


def test_everything_works_over_tls_with_a_password(url: str, tmp_path: Path) -> None:
    works(url, small_release(tmp_path, 8801), tmp_path)


def test_a_cluster_with_a_password(tmp_path: Path) -> None:
    with redis_cluster(password=PASSWORD) as cluster:
        works(cluster.url, small_release(tmp_path, 8802), tmp_path)
        with pytest.raises(WinnowError, match=r"does not answer at redis\+cluster://"):
            connect(cluster.url.replace(PASSWORD, "wr0ng"))


def test_a_wrong_password_or_certificate_is_refused(url: str, secured: str) -> None:
    for wrong, reason in [
        (url.replace(PASSWORD, "wr0ng"), "WRONGPASS|invalid"),
        (f"rediss://:{PASSWORD}@{secured}", "(?i:certificate)"),
        (f"redis://:{PASSWORD}@{secured}", "closed|(?i:reset|timeout)"),
    ]:
        with pytest.raises(WinnowError, match=rf"does not answer at rediss?://{secured}.*({reason})") as refused:
            connect(wrong)
        assert PASSWORD not in str(refused.value)
        assert "wr0ng" not in str(refused.value)


def test_no_message_contains_the_password(url: str, secured: str, tmp_path: Path) -> None:
    release = small_release(tmp_path, 8803)
    with connect(url) as client, pytest.raises(ReleaseMismatch, match=f"rediss://{secured}/0 holds no") as refused:
        check_published(client, url, release)
    assert PASSWORD not in str(refused.value)
    with connect(url) as client:
        client.set(Keys(8803).manifest, "f" * 64)
    with pytest.raises(ReleaseMismatch, match=f"rediss://{secured}/0 holds a release 8803") as refused:
        publish(release.folder, url, show_progress=False)
    assert PASSWORD not in str(refused.value)
    gone = f"redis://:{PASSWORD}@127.0.0.1:1"
    command = [sys.executable, "-m", "bloom_sidecar", "--release-dir", str(release.folder), "--redis-url", gone]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 1
    assert "does not answer at redis://127.0.0.1:1:" in finished.stderr
    assert PASSWORD not in finished.stderr


@pytest.mark.timeout(60)  # without a time-out the read never ends
def test_a_hanging_redis_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(WinnowError, match="does not answer"):
            connect(f"redis://127.0.0.1:{port}?socket_timeout=0.2")

        async def read() -> None:
            client = connect_async(f"redis://127.0.0.1:{port}?socket_timeout=0.2")
            try:
                with pytest.raises(RedisError):
                    await client.get("anything")
            finally:
                await client.aclose()

        asyncio.run(read())
