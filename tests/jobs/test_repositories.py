"""Which repository addresses are taken, and that hostile ones never get through."""

from pathlib import Path

import pytest

from jobs.repositories import check_repository
from jobs.validation import Invalid

ROOTS = (Path("/srv/git"), Path("/home/builds/mirrors"))


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/torvalds/linux",
        "https://github.com/torvalds/linux.git",
        "http://git.example:8080/group/sub-group/repo.git",
        "https://org@dev.azure.example/org/project/_git/repo",
        "https://git.example/a%20b/c.git",
        "https://[2001:db8::1]:8443/repo.git",
        "ssh://git@git.example/repo.git",
        "ssh://git@git.example:2222/~user/repo.git",
        "ssh://git.example/repo",
        "git://git.kernel.example/pub/scm/linux.git",
        "HTTPS://github.com/a/b",
        "git@github.com:torvalds/linux.git",
        "git.example:repo.git",
        "build_1@10.0.0.7:/srv/git/repo.git",
        "host:~user/repo",
        "/srv/git/repo.git",
        "/srv/git/deep/er/my repo",
        "/home/builds/mirrors/x",
        "file:///srv/git/repo.git",
        "file://localhost/srv/git/repo.git",
    ],
)
def test_address_is_kept_as_given(address: str) -> None:
    assert check_repository(address, local_roots=ROOTS) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "repo",
        "./repo",
        "../repo",
        "a/b",
        "a/b:c",
        "--upload-pack=touch PWN;git-upload-pack",
        "-utouch PWN",
        "ext::sh -c touch% PWN",
        "fd::17",
        "::x",
        "transport::address",
        "ext://sh",
        "ftp://git.example/repo",
        "javascript://git.example/%0aalert(1)",
        "git+ssh://git.example/repo",
        "codecommit::eu-west-1://repo",
        "ssh://-oProxyCommand=touch%20PWN/x",
        "ssh://%2DoProxyCommand=x/y",
        "ssh://-oProxyCommand=x@git.example/y",
        "ssh://git@-oProxyCommand=x:22/y",
        "-oProxyCommand=x:repo",
        "git@-oProxyCommand=x:repo",
        "-git@git.example:repo",
        "git.example:-repo",
        "git.example:/-repo",
        "ssh://git.example/-repo",
        "ssh://git.example/%2drepo",
        "https://git.example/-repo",
        "git.example:",
        ":repo",
        "@git.example:repo",
        "https://",
        "https:///repo",
        "https://git.example",
        "https://git.example/",
        "https://git.example:0/x",
        "https://git.example:/x",
        "https://git.example:99999/x",
        "https://git.example:port/x",
        "https://git.example/x?upload-pack=y",
        "https://git.example/x#y",
        "https://git.example/x?",
        "https://git.example/a b",
        "https://git.example/a\\b",
        "https://git.example/$(touch PWN)",
        "https://git.example/`touch PWN`",
        "https://git.example/x;touch",
        "https://git.example/'x'",
        'https://git.example/"x"',
        "https://git.example/x%00y",
        "https://git.example/x%0ay",
        "https://git.example/x\ny",
        "https://git.example/x\0y",
        "https://git\u202e.example/x",
        "https://gıt.example/x",
        "https://[::1/x",
        "https://[x]/y",
        "git://user@git.example/x",
        "git.example:a b",
        "git.example:$(x)",
        "git.example:x\ny",
        "C:\\repo",
        "/etc",
        "/",
        "/srv/git",
        "/srv/git/",
        "/srv/gitx/repo",
        "//srv/git/repo",
        "/srv/git/../../etc",
        "/srv/git/./repo",
        "/srv/git/a\\b",
        "/srv/git/a\nb",
        "file:///etc/passwd",
        "file:///srv/git/../../etc",
        "file://srv/git/repo",
        "file:////srv/git/repo",
        "file:///srv/git/%2e%2e/x",
        "file://git.example/srv/git/repo",
        "https://git.example/" + "x" * 2048,
    ],
)
def test_hostile_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        check_repository(address, local_roots=ROOTS)


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter22@git.example/x",
        "https://:hunter22@git.example/x",
        "ssh://git:hunter22@git.example/x",
        "user:hunter22@git.example:x",
        "https://ghp_hunter22@github.com/a/b",
        "https://glpat-hunter22@gitlab.example/a/b",
        "https://hunter22hunter22hunter22hunter22@git.example/a/b",
    ],
)
def test_password_is_refused_with_advice_and_not_repeated(address: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_repository(address, local_roots=())

    assert "stored secret" in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_paths_need_a_listed_folder() -> None:
    with pytest.raises(Invalid) as refused:
        check_repository("/srv/git/repo.git", local_roots=())

    assert "BUILDBOARD_LOCAL_REPOSITORIES" in str(refused.value)
