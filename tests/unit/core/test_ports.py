"""Ports of a stack."""

import socket

import pytest

from winnow.errors import WinnowError
from winnow.ports import PortInUse, Ports, checked_host, reached_at


def test_all_ports_are_derived_from_the_base():
    ports = Ports.at(9000)
    assert ports.numbers() == (9000, 9001, 9002, 9003, 9004, 9005, 9006, 9007, 9008)
    assert (ports.http, ports.grpc, ports.redis, ports.sidecar, ports.explorer) == (9000, 9001, 9002, 9006, 9008)
    assert Ports.at().http == 8080


@pytest.mark.parametrize("base", [80, 65530, -1])
def test_a_base_out_of_range_is_refused(base):
    with pytest.raises(WinnowError, match=f"port base {base} is out of range"):
        Ports.at(base)


def test_free_ports_are_distinct_and_free():
    ports = Ports.free()
    assert len(set(ports.numbers())) == 9
    ports.check_free(["http", "grpc", "redis", "triton_http", "triton_grpc", "triton_metrics", "sidecar", "milvus"])


def test_a_port_in_use_is_named_with_the_remedy():
    ports = Ports.free()
    with socket.create_server(("127.0.0.1", ports.redis)):
        ports.check_free(["http"])
        with pytest.raises(PortInUse, match=rf"port {ports.redis} \(redis\) is in use; .*--port-base"):
            ports.check_free(["http", "redis"])


def test_the_probed_address_is_the_one_to_bind():
    ports = Ports.free()
    with socket.create_server(("127.0.0.2", ports.http)):
        ports.check_free(["http"])
        for host in ("127.0.0.2", "0.0.0.0"):
            with pytest.raises(PortInUse, match=rf"port {ports.http} \(http\) is in use"):
                ports.check_free(["http"], host)


@pytest.mark.parametrize("host", ["localhost", "::1", "", "127.0.0.1:8080", "10.0.0"])
def test_a_host_that_is_not_an_ipv4_address_is_refused(host):
    with pytest.raises(WinnowError, match=r"--host must be an IPv4 address of this machine, got .*0\.0\.0\.0"):
        checked_host(host)


def test_an_address_of_another_machine_is_refused():
    # From the block kept for documentation (RFC 5737).
    with pytest.raises(
        WinnowError, match=r"this machine has no address 192\.0\.2\.1; give --host one of its addresses"
    ):
        Ports.free().check_free(["http"], checked_host("192.0.2.1"))


def test_a_server_on_every_address_is_reached_on_loopback():
    assert reached_at("0.0.0.0") == "127.0.0.1"
    assert reached_at("10.1.2.3") == "10.1.2.3"
