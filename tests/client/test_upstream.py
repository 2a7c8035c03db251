"""What of an environment's own proxy becomes the gateway's way out, and what is told when it cannot."""

import pytest

from hoop_mitm.client.upstream import upstream_of
from hoop_mitm.errors import ConfigError

GATEWAY = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("existing", "url", "no_proxy"),
    [
        ({}, None, ()),
        ({"HTTPS_PROXY": ""}, None, ()),
        ({"HTTPS_PROXY": "http://proxy.corp:3128"}, "http://proxy.corp:3128", ()),
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, "http://a:1", ()),
        ({"ALL_PROXY": "http://proxy.corp:3128/"}, "http://proxy.corp:3128", ()),
        ({"HTTPS_PROXY": "proxy.corp:3128"}, "http://proxy.corp:3128", ()),
        ({"HTTPS_PROXY": "https://user:pass@proxy.corp"}, "https://user:pass@proxy.corp", ()),
        # In a shell that goes through the gateway already, it is not chained to itself.
        ({"HTTPS_PROXY": GATEWAY, "https_proxy": GATEWAY}, None, ()),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "login.corp, .lan,*,"}, "http://p:1", ("login.corp", ".lan")),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "a", "NO_PROXY": "b"}, "http://p:1", ("a",)),
    ],
)
def test_the_proxy_that_was_set(existing: dict[str, str], url: str | None, no_proxy: tuple[str, ...]) -> None:
    found = upstream_of(existing, GATEWAY)
    assert (found.url if found else None, found.no_proxy if found else ()) == (url, no_proxy)


def test_its_password_is_not_shown() -> None:
    found = upstream_of({"HTTPS_PROXY": "http://user:s3cret@proxy.corp:3128"}, GATEWAY)
    assert found
    assert (found.shown, "s3cret" in repr(found)) == ("proxy.corp:3128", False)


def test_a_kind_that_cannot_be_chained_is_said() -> None:
    with pytest.raises(ConfigError, match="of the kind socks5"):
        upstream_of({"ALL_PROXY": "socks5://user:s3cret@127.0.0.1:1080"}, GATEWAY)
