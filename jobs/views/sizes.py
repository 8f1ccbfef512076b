"""Sizes for people: bytes in the unit that fits. Counting them is not its business."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_words(count: int) -> str:
    """Bytes as `58.7 MiB`; whole below a KiB."""
    number = float(count)
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def mebibyte_words(count: int) -> str:
    """So many MiB as `15.6 GiB`."""
    return size_words(count << 20)
