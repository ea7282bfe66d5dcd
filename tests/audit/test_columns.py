import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.audit.columns import screen
from bioautoml_nni.audit.names import is_place_or_time, proxy_by_name, snake

ROWS = 900
RNG = np.random.default_rng(0)
SPECIES = np.array(
    ["Carabus nemoralis", "Carabus auratus", "Bombus terrestris", "Bombus lucorum", "Apis mellifera", "Musca domestica"]
)
CHOICE = RNG.integers(0, 6, ROWS)
LABEL = pd.Series(SPECIES[CHOICE])
ORDER = pd.Series(np.repeat(["Coleoptera", "Hymenoptera", "Diptera"], [2, 3, 1])[CHOICE])
EVENT = RNG.integers(0, 30, ROWS)
TEST = RNG.random(ROWS) < 0.2


def find(group=None, test=TEST, label=LABEL, **columns):
    """Screen columns and return the findings by name."""
    found = screen(pd.DataFrame(columns), label, ~test, test, group)
    return {finding.column: finding for finding in found.findings}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("order", "taxonomy"),
        ("Order", "taxonomy"),
        ("scientificName", "taxonomy"),
        ("acceptedNameUsage", "taxonomy"),
        ("genus_name", "taxonomy"),
        ("speciesKey", "taxonomy"),
        ("taxon_label", "taxonomy"),
        ("vernacularName", "taxonomy"),
        ("specificEpithet", "taxonomy"),
        ("higherClassification", "taxonomy"),
        ("identifiedBy", "identification"),
        ("dateIdentified", "identification"),
        ("identificationRemarks", "identification"),
        ("det_level", "identification"),
        ("typeStatus", "identification"),
        ("dna_bin", "dna"),
        ("bin_uri", "dna"),
        ("dna_barcode", "dna"),
        ("nucraw", "dna"),
    ],
)
def test_names_that_give_the_label_away(name, kind):
    assert proxy_by_name(name)[0] == kind


@pytest.mark.parametrize(
    "name",
    ["area_mm2", "country", "lifeStage", "sex", "form_factor", "class_of_trap", "detector", "orientation", "dna_acari",
     "recordedBy", "image_measurement_value", "scale_factor", "sectional_area", "binning"],
)  # fmt: skip
def test_names_that_do_not(name):
    assert proxy_by_name(name) is None


def test_spellings_of_a_name_are_one():
    assert snake("decimalLatitude") == snake("decimal-latitude") == snake("Decimal Latitude") == "decimal_latitude"
    assert is_place_or_time("col_date") and is_place_or_time("coord-lat") and not is_place_or_time("plateau_width_mm")


def test_a_renamed_label_is_refused():
    code = LABEL.map({name: f"k{number}" for number, name in enumerate(SPECIES)})
    found = find(remark_code=code, finer=code + "-" + pd.Series(RNG.integers(0, 3, ROWS)).astype(str))
    assert found["remark_code"].verdict == found["finer"].verdict == "refuse"
    assert found["finer"].kind == "names_label" and "names the label" not in found["finer"].column


def test_a_renamed_coarser_rank_is_refused_by_the_backward_test():
    """It does not name the species, but the species determines it: without this test it passes as a feature."""
    tray = ORDER.map({"Coleoptera": 3, "Hymenoptera": 1, "Diptera": 7})
    finding = find(tray_code=tray)["tray_code"]
    assert (finding.verdict, finding.kind) == ("refuse", "follows_label")
    assert "it follows from the label" in finding.reason


def test_a_taxon_inside_a_text_is_refused():
    notes = [f"row {n}: {LABEL[n].upper()} on a leaf" if n % 10 == 0 else f"row {n}: wet" for n in range(ROWS)]
    finding = find(remarks=pd.Series(notes))["remarks"]
    assert (finding.verdict, finding.kind) == ("refuse", "text")
    assert "10%" in finding.reason
    other = [f"row {n}: near {LABEL[(n + 1) % ROWS]} nest" for n in range(ROWS)]
    assert find(remarks=pd.Series(other), label=ORDER)["remarks"].kind != "text"


def test_a_taxon_of_another_rank_inside_a_text_is_refused():
    notes = pd.Series([f"{ORDER[n].lower()}, photographed at night, {n}" for n in range(ROWS)])
    assert find(remarks=notes, order=ORDER)["remarks"].kind == "text"


def test_measurements_and_honest_categories_pass():
    found = find(
        length_mm=RNG.lognormal(CHOICE * 0.3, 0.4),
        sex=RNG.choice(["f", "m"], ROWS),
        temperature=RNG.normal(0, 1, ROWS),
        light=RNG.choice(["uv", "white", None], ROWS),
    )
    assert {finding.verdict for finding in found.values()} == {"pass"}


def test_identifiers_and_constants_are_dropped():
    found = find(specimen=np.arange(ROWS), photo=[f"x{n}" for n in range(ROWS)], project=["p"] * ROWS)
    assert [finding.kind for finding in found.values()] == ["identifier", "identifier", "constant"]
    assert {finding.verdict for finding in found.values()} == {"drop"}


def test_gaps_that_follow_the_label_are_told():
    values = pd.Series(RNG.normal(0, 1, ROWS)).where(ORDER == "Diptera")
    finding = find(wing_length=values)["wing_length"]
    assert (finding.verdict, finding.kind) == ("warn", "gaps")


def test_a_column_that_nearly_names_the_label_is_told():
    mostly = LABEL.map(str.lower).where(RNG.random(ROWS) < 0.95, "unsure").str.replace(" ", "")
    finding = find(box=mostly)["box"]
    assert finding.verdict in ("warn", "refuse") and finding.kind == "names_label"


def events():
    return {
        "trap_night": [f"night-{event}" for event in EVENT],
        "temperature": np.round(RNG.normal(10, 5, 30), 3)[EVENT],
        "moon": RNG.random(30)[EVENT],
        "habitat": np.array(["wood", "meadow", "bog"])[RNG.integers(0, 3, 30)][EVENT],
        "length_mm": RNG.lognormal(CHOICE * 0.3, 0.4),
    }


def test_columns_of_the_event_are_dropped_under_a_random_split():
    columns = events()
    found = find(**columns)
    proxies = [name for name, finding in found.items() if finding.kind == "event"]
    assert proxies == ["trap_night", "temperature", "moon", "habitat"]
    assert all(found[name].verdict == "drop" and "acts as an event id" in found[name].reason for name in proxies)
    assert found["length_mm"].verdict == "pass"


def test_under_a_split_by_event_they_are_only_told():
    found = find(test=EVENT % 5 == 0, group="trap_night", **events())
    assert {found[name].verdict for name in ("temperature", "moon", "habitat")} == {"warn"}


def test_an_event_without_a_column_of_its_own_is_found_by_place_and_time():
    site, day = EVENT % 6, EVENT // 6
    weather = RNG.normal(0, 1, (6, 5))[site, day]
    found = screen(
        pd.DataFrame({"site": site, "date": day, "humidity": weather, "gust": -weather, "length": RNG.random(ROWS)}),
        LABEL, ~TEST, TEST,
    )  # fmt: skip
    assert found.event is not None
    assert {"site", "date", "humidity", "gust"} <= set(found.event.followers)
    assert found.of("length").verdict == "pass"


def test_a_place_that_follows_from_the_label_is_a_warning():
    """Endemic species: knowing the species tells the island, which is biology and no leak by itself."""
    island = pd.Series(np.array(["a", "a", "b", "b", "b", "c"])[CHOICE])
    assert find(locality=island)["locality"].verdict == "warn"


def test_the_table_is_only_read():
    frame = pd.DataFrame({"a": RNG.random(ROWS), "b": RNG.integers(0, 5, ROWS)})
    before = frame.copy()
    screen(frame, LABEL, ~TEST, TEST)
    pd.testing.assert_frame_equal(frame, before)


def collected(**columns):
    """240 specimens of 40 catches, two of each animal, with further columns."""
    catch, rng = np.arange(240) // 6, np.random.default_rng(0)
    table = {"mass": rng.normal(size=240), "animal": [f"i{n // 2}" for n in range(240)]}
    table |= {name: [make(number) for number in catch] for name, make in columns.items()}
    label = pd.Series(rng.choice(["a", "b", "c"], 240))
    test = np.isin(np.arange(240) // 2, rng.choice(120, 30, replace=False))
    return pd.DataFrame(table), label, ~test, test


PLACE, DAY = (lambda n: f"s{n % 5}"), (lambda n: f"2016-{1 + n % 12:02d}-{1 + n // 12:02d}")


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"eventID": lambda n: f"e{n}"}, ("eventID",)),
        ({"site": PLACE, "day": DAY}, ("site", "day")),
        ({"Fundort": PLACE, "Funddatum": DAY}, ("Fundort", "Funddatum")),
        ({"localité": PLACE, "fecha": DAY}, ("localité", "fecha")),
        ({"site": PLACE}, None),  # a place alone is not a catch
        ({"year": lambda n: 2000 + n % 4}, None),
    ],
)
def test_catches_beyond_the_declared_group_are_seen(columns, key):
    table, label, train, test = collected(**columns)
    found = screen(table, label, train, test, group="animal")
    if key is None:
        assert found.event_in_training == 0
        return
    assert found.event is not None and found.event.key == key and found.event_in_training > 0.5
    assert {name for name in columns if found.of(name).verdict == "drop"} == set(columns)
    by_catch = np.isin(np.arange(240) // 6, [3, 17, 28, 39])
    assert (
        screen(table.assign(catch=np.arange(240) // 6), label, ~by_catch, by_catch, group="catch").event_in_training
        == 0
    )


@pytest.mark.parametrize("form", ["{h}:{m:02d}", "{h:02d}{m:02d}", "{h}.{m:02d}", "{h} h {m:02d}"])
def test_times_of_day_are_no_identifiers_though_each_stands_once(form):
    times = pd.Series([form.format(h=6 + n % 16, m=n) for n in range(60)])
    labels = pd.Series(["abc"[n * n % 3] for n in range(60)])
    everywhere = np.ones(60, dtype=bool)
    (finding,) = screen(pd.DataFrame({"hour": times}), labels, everywhere, ~everywhere).findings
    assert finding.kind != "identifier"


@pytest.mark.parametrize(
    ("name", "values"),
    [("day", range(42500, 42560)), ("date", range(20160601, 20160631)), ("wing area", range(300, 360))],
)
def test_counted_days_and_measurements_are_no_identifiers_though_each_stands_once(name, values):
    column = pd.Series(list(values))
    labels = pd.Series(["abc"[n * n % 3] for n in range(len(column))])
    everywhere = np.ones(len(column), dtype=bool)
    (finding,) = screen(pd.DataFrame({name: column}), labels, everywhere, ~everywhere).findings
    assert finding.kind != "identifier"


def test_a_measurement_that_is_dropped_says_how_it_would_be_read():
    lengths = pd.Series([f"ca. {n + 1}" for n in range(60)])
    labels = pd.Series(["abc"[n * n % 3] for n in range(60)])
    everywhere = np.ones(60, dtype=bool)
    (finding,) = screen(pd.DataFrame({"length": lengths}), labels, everywhere, ~everywhere).findings
    assert finding.kind == "identifier" and "60 of 60 values hold a number, such as 'ca. 1'" in finding.reason


def test_places_are_no_identifiers_though_each_stands_once():
    places = pd.Series([f"52.{n:03}, 13.{7 * n:03}" for n in range(60)])
    labels = pd.Series(["abc"[n * n % 3] for n in range(60)])
    everywhere = np.ones(60, dtype=bool)
    (finding,) = screen(pd.DataFrame({"gps": places}), labels, everywhere, ~everywhere).findings
    assert finding.kind != "identifier"
