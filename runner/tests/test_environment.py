"""What parasuite reads from the environment that it was started with."""

from __future__ import annotations

import pytest
from parasuite.run.environment import proxies_of_this_host


@pytest.mark.parametrize(
    ("variables", "ports"),
    [
        ({"http_proxy": "http://127.0.0.1:3128"}, (3128,)),
        ({"HTTPS_PROXY": "localhost:8888"}, (8888,)),
        ({"all_proxy": "socks5://user:word@[::1]:1080/"}, (1080,)),
        ({"http_proxy": "http://192.0.2.7:3128", "https_proxy": "http://192.0.2.7:3128"}, (3128,)),
        ({"http_proxy": "http://192.0.2.8:3128"}, ()),
        ({"http_proxy": "http://proxy.example:3128"}, ()),
        ({"http_proxy": "http://localhost"}, ()),
        (
            {
                "http_proxy": "",
                "https_proxy": "http://localhost:no",
                "ftp_proxy": "http://[",
                "no_proxy": "localhost",
            },
            (),
        ),
        ({"DATABASE_URL": "http://127.0.0.1:3128"}, ()),
    ],
)
def test_a_proxy_is_on_this_host_if_its_variable_names_an_address_of_it(
    variables: dict[str, str], ports: tuple[int, ...]
) -> None:
    assert proxies_of_this_host(variables, {"127.0.0.1", "192.0.2.7"}) == ports
