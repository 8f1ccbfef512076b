"""When a server is strained: two thresholds and a count, never by a reading between them. Pure."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.probe import measure
from servers.thresholds import (
    FREE_STORAGE,
    Band,
    Strain,
    assess,
    bands_of,
    readings_of,
    step,
)

RISES = Band("load", enter=8, leave=5, probes=3, told="{value:.1f} over {enter:.0f}, well at {leave:.0f}.")
FALLS = Band("free", enter=10, leave=20, probes=2, told="{value:.0f}")
BANDS = bands_of(memory_limit_percent=85, storage_limit_percent=85)
COUNTS = st.booleans()


def run(band: Band, *values: float) -> list[bool]:
    """Whether it holds after each reading."""
    strains = itertools.accumulate(values, lambda strain, value: step(band, strain, value), initial=Strain())
    return [strain.holds for strain in strains][1:]


def test_a_strain_begins_after_so_many_probes_in_a_row_and_ends_after_as_many() -> None:
    assert run(RISES, 9, 9, 9, 4, 4, 4) == [False, False, True, True, True, False]
    assert run(RISES, 9, 9, 7, 9, 9, 9) == [False, False, False, False, False, True]
    assert run(RISES, 9, 9, 9, 4, 4, 6, 4, 4, 4) == [*[False] * 2, *[True] * 6, False]


def test_where_less_is_worse_the_band_is_turned_around() -> None:
    assert run(FALLS, 9, 9, 15, 20, 20) == [False, True, True, True, False]


@pytest.mark.parametrize("band", [RISES, FALLS])
def test_the_thresholds_themselves_do_not_begin_a_strain_and_do_end_it(band: Band) -> None:
    assert run(band, *[band.enter] * 9) == [False] * 9
    assert step(band, Strain(True, band.probes - 1), band.leave).holds is False


@given(st.sampled_from([RISES, FALLS, *BANDS]), st.booleans(), st.lists(st.floats(0, 1), min_size=1))
def test_a_reading_within_the_band_moves_nothing(band: Band, holds: bool, shares: list[float]) -> None:
    strain = Strain(holds)
    for share in shares:
        value = band.leave + (band.enter - band.leave) * share
        if (band.is_back(value) if holds else band.is_past(value)) is False:
            strain = step(band, strain, value)

    assert (strain.holds, strain.against) == (holds, 0)


@given(st.sampled_from([RISES, FALLS]), st.lists(st.tuples(st.floats(0, 30), COUNTS), max_size=60))
def test_between_two_changes_lie_as_many_probes_as_the_band_asks_for_and_its_whole_width(
    band: Band, readings: list[tuple[float, bool]]
) -> None:
    strain, since, turned_at = Strain(), 0, None
    for value, counts in readings:
        after = step(band, strain, value, counts=counts)
        since += counts
        if after.holds != strain.holds:
            assert since >= band.probes
            assert turned_at is None or abs(value - turned_at) >= abs(band.enter - band.leave)
            since, turned_at = 0, value
        strain = after


@given(st.sampled_from(BANDS), st.lists(st.floats(0, 1e9), max_size=30))
def test_the_same_readings_tell_the_same(band: Band, values: list[float]) -> None:
    assert run(band, *values) == run(band, *values)


def test_a_probe_too_soon_after_the_last_is_kept_and_not_counted() -> None:
    strain = Strain(against=2)

    kept = step(RISES, strain, 99, counts=False)

    assert kept == Strain(False, 2, 99)
    assert step(RISES, kept, 99).holds is True
    assert step(FREE_STORAGE, Strain(), 1, counts=False).holds is True  # is as it is, however often one looks


def test_what_holds_is_told_with_the_figure_of_now_and_what_to_do() -> None:
    first = assess({}, {"storage": 92.4, "memory": 99.0}, bands=BANDS)
    lingers = assess(first.strains, {"storage": 83.0, "memory": 99.0}, bands=BANDS)
    well = assess(lingers.strains, {"storage": 80.0, "memory": 12.0}, bands=BANDS)

    tail = "over 85% it takes no builds, and at 80% it counts as well again: make room, or raise its limit."
    assert first.sentences == (f"Its disk is 92% full; {tail}",)
    assert lingers.sentences == (f"Its disk is 83% full; {tail}",)
    assert well.sentences == ()


def test_memory_must_be_short_in_three_probes() -> None:
    found = assess({}, {}, bands=BANDS)
    told = []
    for _ in range(3):
        found = assess(found.strains, {"memory": 90.0}, bands=BANDS)
        told.append(len(found.sentences))

    assert told == [0, 0, 1]
    assert found.sentences[0].startswith("Its memory is 90% in use; over 85% it takes no builds")


def test_what_was_not_measured_stays_as_it_was_known() -> None:
    full = assess({}, {"storage": 92.0, "clock": None}, bands=BANDS)

    assert assess(full.strains, {"storage": None}, bands=BANDS) == full
    assert full.strains == {"storage": {"holds": True, "against": 0, "value": 92.0}}


def test_of_a_full_disk_the_worse_figure_is_told_alone() -> None:
    found = assess({}, {"storage": 99.0, "free_storage": 12.0}, bands=BANDS)

    assert found.sentences == ("Only 12 MB of its disk are free: make room.",)


@pytest.mark.parametrize("limit", [1, 3, 50, 100])
def test_every_limit_has_a_lower_end_that_can_be_reached(limit: int) -> None:
    for band in bands_of(memory_limit_percent=limit, storage_limit_percent=limit)[:2]:
        assert 0 < band.leave < band.enter == limit


def test_every_band_has_a_reading_and_a_sentence() -> None:
    readings = readings_of(measure({}, now=0.0), latency_ms=None)

    assert set(readings) == {band.name for band in BANDS}
    assert set(readings.values()) == {None}
    assert all(": " in band.sentence(7.0) for band in BANDS)
    assert FREE_STORAGE in BANDS
