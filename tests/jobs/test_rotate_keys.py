"""`rotate_keys`: after it the old key can go, whatever was stored; it may run twice and beside the board."""

import io

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from buildboard.core import rotation
from buildboard.core.crypto import DecryptionError, decrypt, encrypt, is_key, make_key, rotate
from jobs.models import Attempt, BuildJob, Secret
from servers.models import BuildServer
from tests.factories import make_attempt, make_job, make_server

pytestmark = pytest.mark.django_db


def run() -> str:
    out = io.StringIO()
    call_command("rotate_keys", stdout=out)
    return out.getvalue()


def stored() -> list[str]:
    """Every credential in the clear, as the keys of now read it."""
    tokens = [
        *BuildServer.objects.exclude(private_key="").values_list("private_key", flat=True),
        *Secret.objects.values_list("encrypted_value", flat=True),
        *Attempt.objects.exclude(masked_values="").values_list("masked_values", flat=True),
        *BuildJob.objects.exclude(secret_spec="").values_list("secret_spec", flat=True),
    ]
    return [decrypt(token, record="it") for token in tokens]


@pytest.fixture
def credentials() -> list[str]:
    make_server(private_key=encrypt("a key"))
    make_server()
    Secret.objects.create(name="TOKEN", encrypted_value=encrypt("a secret"))
    job = make_job(secret_spec=encrypt("a spec"))
    make_attempt(job, masked_values=encrypt("masked"))
    make_attempt()
    return ["a key", "a secret", "masked", "a spec"]


def test_after_it_the_old_key_can_go(credentials: list[str], settings: LazySettings) -> None:
    old = settings.ENCRYPTION_KEYS
    new = [make_key()]

    settings.ENCRYPTION_KEYS = new + old
    first, second = run(), run()
    settings.ENCRYPTION_KEYS = new

    assert stored() == credentials
    assert first.splitlines() == [
        f"{what}: 1 encrypted anew, 0 were under the newest key already"
        for what in (
            "private key of server",
            "value of secret",
            "secrets of attempt",
            "write-only values of job",
        )
    ]
    assert second.count("0 encrypted anew, 1 were under the newest key already") == 4
    settings.ENCRYPTION_KEYS = old
    with pytest.raises(DecryptionError):
        stored()


def test_many_are_done_a_few_at_a_time(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 3)
    for number in range(7):
        Secret.objects.create(name=f"S{number}", encrypted_value=encrypt(f"value {number}"))
    settings.ENCRYPTION_KEYS = [make_key(), *settings.ENCRYPTION_KEYS]

    assert "value of secret: 7 encrypted anew, 0 were" in run()
    assert sorted(stored()) == [f"value {number}" for number in range(7)]


def test_a_new_key_is_printed_alone_and_nothing_changes(credentials: list[str]) -> None:
    out = io.StringIO()

    call_command("rotate_keys", "--make-key", stdout=out)

    assert is_key(out.getvalue().strip())
    assert stored() == credentials


def test_what_no_key_fits_is_named_and_stops_nothing(credentials: list[str], settings: LazySettings) -> None:
    lost = make_server(private_key="gAAAAAnonsense")
    settings.ENCRYPTION_KEYS = [make_key(), *settings.ENCRYPTION_KEYS]

    with pytest.raises(CommandError, match=f"1 cannot be decrypted .* private key of server {lost.pk}"):
        run()

    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    lost.delete()
    assert stored() == credentials


def test_a_value_that_is_replaced_meanwhile_stays(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(private_key=encrypt("old"))
    settings.ENCRYPTION_KEYS = [make_key(), *settings.ENCRYPTION_KEYS]

    def overtaken(token: str, *, record: str) -> str:
        BuildServer.objects.filter(pk=server.pk).update(private_key=encrypt("new"))
        return rotate(token, record=record)

    monkeypatch.setattr("buildboard.core.rotation.rotate", overtaken)

    assert "private key of server: 0 encrypted anew" in run()
    assert stored() == ["new"]
