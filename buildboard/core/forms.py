"""The forms for signing in, for another password of one's own, and for a new API token.

What a scope gives is in permissions.py.
"""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.password_validation import password_validators_help_texts

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


class OwnPasswordForm(PasswordChangeForm):
    """Django's own with its validators, in the words of the page. It checks; people.change_password() writes."""

    error_messages = {  # Django's own is a plain dict, too
        **PasswordChangeForm.error_messages,
        "password_incorrect": "This is not your current password. Upper and lower case count.",
        "password_mismatch": "This is not the same as the new password above it.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        old, new, again = (self.fields[name] for name in ("old_password", "new_password1", "new_password2"))
        old.label, new.label, again.label = "Current password", "New password", "New password again"
        old.widget.attrs.pop("autofocus", None)  # the page is not about this alone
        new.help_text = " ".join(password_validators_help_texts())
        again.help_text = ""


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
