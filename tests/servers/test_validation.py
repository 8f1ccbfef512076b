"""What may be written into a server's fields: each rule with what it takes, how it is kept, and what it refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from servers import validation
from servers.validation import Invalid

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIY5AIGgQkWmAsB0F8UAjEcjfHCDq7OmZPBZlkrS8x1T"


@pytest.mark.parametrize(
    ("check", "given", "kept"),
    [
        (validation.check_name, " arm-1 ", "arm-1"),
        (validation.check_name, "A_b.c-1", "A_b.c-1"),
        (validation.check_name, "x" * 64, "x" * 64),
        (validation.check_hostname, "Build1.Example.org", "build1.example.org"),
        (validation.check_hostname, "localhost", "localhost"),
        (validation.check_hostname, "under_score.example", "under_score.example"),
        (validation.check_hostname, "192.0.2.7", "192.0.2.7"),
        (validation.check_hostname, "[2001:DB8::1]", "2001:db8::1"),
        (validation.check_hostname, "2001:db8:0:0::1", "2001:db8::1"),
        (validation.check_username, "build", "build"),
        (validation.check_username, "build.user@corp.example", "build.user@corp.example"),
        (validation.check_username, "host$", "host$"),
        (validation.check_work_dir, "", ""),
        (validation.check_work_dir, "/srv/build-board/", "/srv/build-board"),
        (validation.check_host_key, "", ""),
        (validation.check_host_key, f"host.example {KEY} comment", KEY),
        (validation.check_architectures, ["arm64", "AARCH64", "amd64"], ["aarch64", "x86_64"]),
        (validation.check_architectures, [], []),
        (
            validation.check_labels,
            {"disk": "nvme", "a/b.c-d_e": "", "_x": "ü ö"},
            {"disk": "nvme", "a/b.c-d_e": "", "_x": "ü ö"},
        ),
        (validation.check_group, "", ""),
        (validation.check_group, "big.machines", "big.machines"),
        (validation.check_limit, 100, 100),
        (validation.check_builds, 256, 256),
        (
            validation.check_environment,
            {
                "PATH": "/home/b/.cargo/bin:/usr/bin",
                "https_proxy": "http://proxy:3128",
                "GIT_SSL_CAINFO": "/ca",
            },
            {
                "PATH": "/home/b/.cargo/bin:/usr/bin",
                "https_proxy": "http://proxy:3128",
                "GIT_SSL_CAINFO": "/ca",
            },
        ),
    ],
)
def test_what_fits_is_kept_in_its_one_form(check: Callable[[Any], Any], given: Any, kept: Any) -> None:
    assert check(given) == kept


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *(
            (validation.check_name, text)
            for text in ["", "-a", ".a", "a b", "a/b", "é", "x" * 65, "auto", "AUTO", "a\nb"]
        ),
        (validation.check_name, "7c333433-f38f-45e5-ab26-6ec1d9e7fdff"),
        (validation.check_name, "7c333433f38f45e5ab266ec1d9e7fdff"),
        *(
            (validation.check_hostname, text)
            for text in [
                "",
                " ",
                "-oProxyCommand=x",
                "a b",
                "user@host",
                "host:22",
                "host/path",
                "a..b",
                "-a.b",
                "a-.b",
                "é.example",
                "x" * 64,
                "a." * 130,
                "1.2.3",
                "1.2.3.4.5",
                "256.1.1.1",
                "0177.0.0.1",
                "1",
                "0.0.0.0",
                "::",
                "224.0.0.1",
                "fe80::1%eth0",
                "[::1",
                "a\nb",
                "a\0b",
                "$(id)",
                "http://host",
            ]
        ),
        *(
            (validation.check_username, text)
            for text in ["", "-l", "a b", "root;id", "a\n", "$x", "x" * 65, "é"]
        ),
        *((validation.check_port, number) for number in [0, -1, 65536]),
        *(
            (validation.check_work_dir, text)
            for text in [
                "x",
                "~",
                "~/x",
                "/",
                "//",
                "/a b",
                "/a/../b",
                "/a/./b",
                "/$HOME",
                "/a'b",
                "/é",
                "/x" * 128,
                "/a\n",
            ]
        ),
        *(
            (validation.check_host_key, text)
            for text in [
                "x",
                "ssh-dss AAAA",
                KEY[:40],
                f"{KEY}\n{KEY[:-4]}AAAA",
                f"@revoked * {KEY}",
                "x" * 5000,
            ]
        ),
        *((validation.check_architectures, [text]) for text in ["", "../x", "x" * 33, "a-b"]),
        (validation.check_architectures, [f"a{number}" for number in range(33)]),
        *(
            (validation.check_labels, {key: "x"})
            for key in ["", "1a", "a b", "a:b", "-a", "x" * 64, "a\n", "é"]
        ),
        *(
            (validation.check_labels, {"a": text})
            for text in ["x\n", "x\ny", "\0", "\x1b", "\u202e", "x" * 256]
        ),
        (validation.check_labels, {f"a{number}": "" for number in range(65)}),
        *((validation.check_group, text) for text in ["-x", "a b", "x" * 65, "a;b", "a\n"]),
        *((validation.check_limit, number) for number in [0, 101]),
        *((validation.check_builds, number) for number in [0, 257]),
        (validation.check_reason, "x" * 1001),
        (validation.check_reason, "a\0"),
        *(
            (validation.check_environment, values)
            for values in [
                {"": "x"},
                {"1A": "x"},
                {"A-B": "x"},
                {"LD_PRELOAD": "/x"},
                {"BASH_ENV": "/x"},
                {"HOME": "/x"},
                {"IFS": "x"},
                {"BUILDBOARD_HOME": "/x"},
                {"BB_JOBS": "1"},
                {"A": "x\ny"},
                {"A": "x\0"},
                {"PATH": "$HOME/bin"},
                {"PATH": ""},
                {"PATH": "bin:/usr/bin"},
                {"https_proxy": "http://me:hunter2@proxy"},
                {"A": "x" * 17_000},
            ]
        ),
        (validation.check_environment, {f"A{number}": "" for number in range(65)}),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(check: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        check(value)

    assert str(refused.value).endswith((".", "/ -"))
    assert "hunter2" not in str(refused.value)
