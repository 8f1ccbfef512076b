"""A form that knows what it showed when it was opened, so that one which lay open for long undoes nobody's change.

What was left as it was shown is no change, whatever it is by now; what two people changed is told. Writing only what
was changed (`changed_data`) is the form's user's part.
"""

import json
from typing import Any

from django import forms
from django.utils.text import Truncator

_MOST_SHOWN = 80  # characters of another one's value in a sentence


class OpenedForm(forms.BaseForm):
    """A mixin before a form's own class. Its page writes `{{ form.shown }}` beside the fields.

    Without that field in what was sent, everything counts as shown as it is now.
    """

    never_shown: frozenset[str] = frozenset()  # secrets, and what is no value of the row

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._opened: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    def remember_opening(self) -> None:
        """Call it when fields and their initial values are what they are to be."""
        self.fields["shown"] = forms.CharField(required=False, widget=forms.HiddenInput, max_length=1 << 20)
        now = self._values_now()
        self.initial["shown"] = json.dumps(now)
        if self.is_bound:
            self._opened = {
                name: value
                for name, value in _read(self.data.get(self.add_prefix("shown"))).items()
                if name in now
            }

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        """What the person saw, against which their own changes are counted."""
        if field_name in self._opened:
            return self._opened[field_name]
        return super().get_initial_for_field(field, field_name)

    def refuse_overtaken(self) -> None:
        """Call it in `clean`: an error at each field that somebody else has changed to another value meanwhile."""
        now = self._values_now()
        for name in set(self.changed_data) & self._opened.keys() - self.errors.keys():
            field, sent = self.fields[name], self[name].data
            if self._opened[name] != now[name] and field.has_changed(now[name], sent):
                told = (
                    Truncator(str(now[name])).chars(_MOST_SHOWN) if now[name] not in ("", None) else "nothing"
                )
                self.add_error(
                    name,
                    f"Somebody changed this to “{told}” since the form was opened: open it anew and look.",
                )

    def _values_now(self) -> dict[str, Any]:
        """The row's values as JSON can hold them, by field."""
        values = {
            name: field.prepare_value(super(OpenedForm, self).get_initial_for_field(field, name))
            for name, field in self.fields.items()
            if name != "shown" and name not in self.never_shown
        }
        found: dict[str, Any] = json.loads(json.dumps(values, default=str))
        return found


def _read(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
