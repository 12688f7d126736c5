"""Loopback connections are direct; other hosts use the environment's proxies."""

import os
import urllib.request

import pytest
from botocore.utils import get_environ_proxies

from winnow.proxies import DIRECT, bypass_loopback, channel_options, is_loopback

PROXY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:8001", "LOCALHOST:8001", "127.0.0.1:8001", "127.1.2.3:8001", "[::1]:8001"]
)
def test_loopback(address):
    assert is_loopback(address)
    assert channel_options(address) == DIRECT


@pytest.mark.parametrize(
    "address", ["triton:8001", "10.0.0.1:8001", "localhost.example.com:80", "[2001:db8::1]:80", "[::1", "", ":8001"]
)
def test_other_hosts(address):
    assert not is_loopback(address)
    assert channel_options(address) == []


@pytest.fixture
def proxied(monkeypatch):
    """An environment with proxies and no exceptions."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        # Set first, so that what bypass_loopback sets is undone.
        monkeypatch.setenv(name, "")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, PROXY)
    return monkeypatch


def test_the_environments_proxies_apply_to_other_hosts(proxied):
    assert get_environ_proxies("http://127.0.0.1:9000")
    bypass_loopback()
    for host in ("127.0.0.1:9000", "localhost:9000"):
        assert not get_environ_proxies(f"http://{host}")
        assert urllib.request.proxy_bypass(host)
    assert get_environ_proxies("http://s3.example.com")["http"] == PROXY


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_the_environments_exceptions_are_kept(proxied, name):
    proxied.setenv(name, "corp.example.com, 127.0.0.1")
    bypass_loopback()
    bypass_loopback()
    expected = "corp.example.com,127.0.0.1,localhost,::1"
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (expected, expected)
    assert not get_environ_proxies("http://s3.corp.example.com")


def test_without_any_proxy_everything_still_goes_directly(proxied):
    proxied.setenv("no_proxy", "*")
    bypass_loopback()
    assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == ("*", "*")
    assert not get_environ_proxies("http://s3.example.com")
