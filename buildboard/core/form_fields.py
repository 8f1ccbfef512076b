"""Form fields of several lines that the forms of all apps share. What the values may be is each app's matter."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

_AREA = {"rows": 2, "spellcheck": "false"}


class Text(forms.CharField):
    """Text of several lines, kept as it was typed but for the browser's line ends."""

    def __init__(self, label: str, help_text: str = "", **attributes: Any) -> None:
        widget = forms.Textarea({**_AREA, **attributes})
        super().__init__(label=label, help_text=help_text, required=False, strip=False, widget=widget)

    def to_python(self, value: Any) -> Any:
        return (super().to_python(value) or "").replace("\r\n", "\n")


class Lines(Text):
    """One value a line; blank lines do not count."""

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).split("\n") if line.strip()]


class Pairs(Text):
    """`NAME=value`, one a line."""

    def clean(self, value: Any) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for line in super().clean(value).split("\n"):
            name, equals, text = line.partition("=")
            name = name.strip()
            if not line.strip():
                continue
            if not equals or not name:
                raise ValidationError(f"Write NAME=value, one a line; “{line[:40]}” has no name or no =.")
            if name in pairs:
                raise ValidationError(f"{name[:40]} is there twice; keep one.")
            pairs[name] = text
        return pairs
