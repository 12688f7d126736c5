"""Ports of a stack."""

import socket

import pytest

from winnow.errors import WinnowError
from winnow.local.ports import PortInUse, Ports


def test_all_ports_follow_from_the_base():
    ports = Ports.at(9000)
    assert ports.numbers() == (9000, 9001, 9002, 9003, 9004, 9005, 9006)
    assert (ports.http, ports.grpc, ports.redis, ports.sidecar) == (9000, 9001, 9002, 9006)
    assert Ports.at().http == 8080


@pytest.mark.parametrize("base", [80, 65530, -1])
def test_a_base_out_of_range_is_refused(base):
    with pytest.raises(WinnowError, match=f"port base {base} is out of range"):
        Ports.at(base)


def test_free_ports_are_distinct_and_free():
    ports = Ports.free()
    assert len(set(ports.numbers())) == 7
    ports.check_free(["http", "grpc", "redis", "triton_http", "triton_grpc", "triton_metrics", "sidecar"])


def test_a_port_in_use_is_named_with_the_remedy():
    ports = Ports.free()
    with socket.create_server(("127.0.0.1", ports.redis)):
        ports.check_free(["http"])
        with pytest.raises(PortInUse, match=rf"port {ports.redis} \(redis\) is in use; .*--port-base"):
            ports.check_free(["http", "redis"])
