"""The forms for signing in and for a new API token. What a scope gives is in permissions.py."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from buildboard.core.auth import Principal, may_grant
from buildboard.core.models import ApiToken
from buildboard.core.permissions import Scope

MAX_DAYS = 3650


class SignInForm(AuthenticationForm):
    """Django's own, in the words of the page; it never says which of the two was wrong."""

    error_messages = {  # Django's own is a plain dict, too
        **AuthenticationForm.error_messages,
        "invalid_login": "Name and password do not fit together. Upper and lower case count in both.",
    }


class TokenForm(forms.Form):
    """Name, scopes and life of a new token; it offers the scopes that the one who asks may give."""

    name = forms.CharField(
        max_length=ApiToken._meta.get_field("name").max_length, help_text="What it is for, such as “laptop”."
    )
    scopes = forms.MultipleChoiceField(choices=(), widget=forms.CheckboxSelectMultiple, initial=[Scope.READ])
    expires_in_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_DAYS,
        initial=90,
        label="Expires in days",
        help_text="Empty: it works until it is revoked.",
    )

    def __init__(self, *args: Any, principal: Principal, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)  # noqa: S101  # tells the type checker
        scopes.choices = [choice for choice in Scope.choices if may_grant(principal, [choice[0]])]
