"""The admin site: who may open what, what is never shown, and that changes are recorded."""

import re

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from buildboard.core.audit import record_event
from buildboard.core.auth import authenticate_token, create_token
from buildboard.core.models import Event, Heartbeat, User
from buildboard.core.permissions import Role
from jobs.models import Artifact, Orchestrator, Secret
from tests.factories import make_attempt, make_job, make_server, make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct-horse-44"
# What must never appear on a page, planted wherever it is kept.
PLANTED = "planted-hidden-value"


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def plant_rows() -> None:
    """One row of every table that the site shows, with something that could leak."""
    user = make_user(Role.ADMIN, username="ann", password=PASSWORD)
    create_token(user, name="laptop", scopes=["read"])
    user.tokens.update(secret_hash=PLANTED)
    record_event("job", subject_id="1", kind="submitted")
    Heartbeat.objects.create(name="runner", machine="m1", data={"x": PLANTED})
    make_server(private_key=PLANTED)
    job = make_job(secret_spec=PLANTED, spec={"environment": {"A": PLANTED}})
    attempt = make_attempt(job)
    Artifact.objects.create(attempt=attempt, path="a.o", size=1, sha256="0" * 64, storage_key=PLANTED)
    Secret.objects.create(name="TOKEN", encrypted_value=PLANTED)
    Orchestrator.objects.create(name="o1", secret_hash=PLANTED)


def reached(client: Client) -> set[str]:
    """The tables whose list and one of whose rows a client may open."""
    found = set()
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listed = client.get(reverse(f"{name}_changelist"), {"q": "a"}).status_code
        row = model._default_manager.first()
        opened = client.get(reverse(f"{name}_change", args=[row.pk])).status_code if row else listed
        assert listed == opened, name
        if listed == 200:
            found.add(model._meta.label)
    return found


def test_each_role_opens_what_it_may() -> None:
    plant_rows()
    fleet = {"servers.BuildServer", "jobs.BuildJob", "jobs.Attempt", "jobs.Artifact", "jobs.Secret"}
    people = {"core.User", "core.ApiToken", "core.Event", "core.Heartbeat", "jobs.Orchestrator"}
    locks = {"axes.AccessAttempt", "axes.AccessLog", "axes.AccessFailureLog"}

    assert reached(client_of(Role.ADMIN)) == fleet | people | locks
    assert reached(client_of(Role.OPERATOR)) == fleet
    assert reached(client_of(Role.SUBMITTER)) == set()
    assert reached(client_of(Role.VIEWER)) == set()


def test_no_page_shows_a_secret_a_hash_or_a_lease() -> None:
    plant_rows()
    attempt_lease = str(make_attempt().lease_id)
    client = client_of(Role.ADMIN)

    leaks = []
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        urls = [reverse(f"{name}_changelist")]
        urls += [reverse(f"{name}_change", args=[row.pk]) for row in model._default_manager.all()]
        for url in urls:
            page = client.get(url).content.decode()
            if PLANTED in page or "argon2" in page or attempt_lease in page:
                leaks.append(url)

    assert leaks == []


READ_ONLY = [
    *("core_apitoken", "core_event", "core_heartbeat"),
    *("jobs_buildjob", "jobs_attempt", "jobs_artifact", "jobs_secret", "jobs_orchestrator"),
]


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_its_owner_writes_cannot_be_added_changed_or_deleted(name: str) -> None:
    plant_rows()
    client = client_of(Role.ADMIN)
    model = next(m for m in admin.site._registry if f"{m._meta.app_label}_{m._meta.model_name}" == name)
    row = model._default_manager.all()[0]
    before = list(model._default_manager.values())

    answers = [
        client.post(reverse(f"admin:{name}_add"), {}).status_code,
        client.post(reverse(f"admin:{name}_change", args=[row.pk]), {"name": "x"}).status_code,
        client.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code,
    ]

    assert answers == [403, 403, 403]
    assert list(model._default_manager.values()) == before


def test_strangers_are_sent_to_the_one_sign_in_page() -> None:
    index, own = Client().get("/admin/"), Client().get("/admin/login/?next=/admin/core/user/")

    assert index.headers["Location"] == "/login/?next=/admin/"
    assert own.headers["Location"] == "/login/?next=/admin/core/user/"


def test_a_bearer_token_does_not_open_the_site() -> None:
    _, text = create_token(make_user(Role.ADMIN), name="x", scopes=["operate"])

    answered = Client().get("/admin/", headers={"Authorization": f"Bearer {text}"})

    assert (answered.status_code, answered.headers["Location"]) == (302, "/admin/login/?next=/admin/")


def test_groups_and_queue_tables_are_not_there() -> None:
    labels = {model._meta.app_label for model in admin.site._registry}

    assert labels == {"core", "servers", "jobs", "axes"}


# ---- people ---------------------------------------------------------------------------------------------


def test_an_admin_adds_a_person() -> None:
    data = {"username": "bob", "role": "submitter", "usable_password": "true"}

    added = client_of(Role.ADMIN).post(
        "/admin/core/user/add/", {**data, "password1": PASSWORD, "password2": PASSWORD}
    )

    bob = User.objects.get(username="bob")
    assert added.headers["Location"] == f"/admin/core/user/{bob.pk}/change/"
    assert (bob.role, bob.check_password(PASSWORD)) == ("submitter", True)
    event = Event.objects.get()
    assert (event.subject_type, event.subject_id, event.kind, event.door) == (
        "user", str(bob.pk), "user_added", "admin",
    )  # fmt: skip
    assert PASSWORD not in str(event.data)


def test_a_weak_password_is_refused() -> None:
    data = {
        "username": "bob",
        "role": "viewer",
        "usable_password": "true",
        "password1": "1",
        "password2": "1",
    }

    answered = client_of(Role.ADMIN).post("/admin/core/user/add/", data)

    assert answered.status_code == 200
    assert not User.objects.filter(username="bob").exists()


def test_disabling_and_a_new_role_are_recorded() -> None:
    bob = make_user(Role.OPERATOR, username="bob")

    client_of(Role.ADMIN).post(f"/admin/core/user/{bob.pk}/change/", {"username": "bob", "role": "viewer"})

    bob.refresh_from_db()
    assert (bob.role, bob.is_active) == ("viewer", False)
    event = Event.objects.get()
    assert (event.kind, event.data) == (
        "user_changed", {"name": "bob", "what": [{"changed": {"fields": ["Role", "Active"]}}]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kept"),
    [({"share_weight": "3"}, 3), ({}, 2), ({"share_weight": "101"}, 2), ({"share_weight": "0"}, 2)],
)
def test_share_of_the_queue_is_set_from_1_to_100(given: dict[str, str], kept: int) -> None:
    bob = make_user(Role.SUBMITTER, username="bob", share_weight=2)
    address, client = f"/admin/core/user/{bob.pk}/change/", client_of(Role.ADMIN)
    assert "someone with 3 has three builds" in client.get(address).content.decode()

    client.post(address, {"username": "bob", "role": "submitter", "is_active": "on", **given})

    bob.refresh_from_db()
    assert bob.share_weight == kept


@pytest.mark.parametrize("change", [{"role": "viewer", "is_active": "on"}, {"role": "admin"}])
def test_the_last_admin_cannot_be_demoted_or_disabled(change: dict[str, str]) -> None:
    ann = make_user(Role.ADMIN, username="ann")
    client = Client()
    client.force_login(ann)

    answered = client.post(f"/admin/core/user/{ann.pk}/change/", {"username": "ann", **change})

    ann.refresh_from_db()
    assert (answered.status_code, ann.role, ann.is_active) == (200, "admin", True)
    assert "ann is the last active admin." in answered.content.decode()


def test_an_admin_sets_a_new_password() -> None:
    bob = make_user(username="bob")
    client = client_of(Role.ADMIN)
    page = client.get(f"/admin/core/user/{bob.pk}/change/").content.decode()
    link = re.search(r'<a href="([^"]+)">Set a new password</a>', page)
    assert link is not None

    client.post(link[1], {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"})

    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)
    assert Event.objects.get().kind == "user_changed"


def test_an_operator_cannot_make_themselves_admin() -> None:
    operator = make_user(Role.OPERATOR)
    client = Client()
    client.force_login(operator)

    answered = client.post(
        f"/admin/core/user/{operator.pk}/change/", {"username": "x", "role": "admin", "is_active": "on"}
    )

    operator.refresh_from_db()
    assert (answered.status_code, operator.role) == (403, "operator")


def test_an_admin_revokes_anybodys_token() -> None:
    bob = make_user(username="bob")
    token, text = create_token(bob, name="x", scopes=["read"])

    answered = client_of(Role.ADMIN).post(
        "/admin/core/apitoken/", {"action": "revoke", "_selected_action": [str(token.pk)]}, follow=True
    )

    assert "1 revoked." in answered.content.decode()
    assert authenticate_token(text) is None
    assert Event.objects.get(kind="token_revoked").door == "admin"


@pytest.mark.parametrize(
    "query", ["at__year=99999999999", "at__year=0", "at__gte=x", "sequence=" + "9" * 5000]
)
def test_list_answers_a_value_that_cannot_be_compared_without_filters(query: str) -> None:
    response = client_of(Role.ADMIN).get(f"{reverse('admin:core_event_changelist')}?{query}")

    assert (response.status_code, response.headers["Location"]) == (302, "/admin/core/event/?e=1")
