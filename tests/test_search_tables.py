"""Tables in text: every case has one right reading, or is refused in one line; new data is read as the first was."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_tables import ODD, N, X, Y, rows

from sizer.base.errors import DataError, SizerError
from sizer.base.records import rebuild
from sizer.cli import run
from sizer.models import Topology
from sizer.size_search.data.fit_columns import likely_codes
from sizer.size_search.data.prepare import PreparingSettings, prepare
from sizer.size_search.data.reading.dates import ORDERS, read_date
from sizer.size_search.data.reading.numbers import MARKS, take_apart
from sizer.size_search.data.reading.rules import Reading, ReadingOptions, ReadingRules
from sizer.size_search.data.sources import table_of
from sizer.size_search.saved_network import SavedNetwork, facts_of_reading, load

CASES = Path(__file__).parent / "data" / "cases"


def read(path, target="y", **options):
    return table_of(Path(path), Reading(ReadingOptions(**options), (target,)))


def same(read_value, right) -> bool:
    if right is None or (isinstance(right, float) and math.isnan(right)):
        return bool(pd.isna(read_value))
    return bool(pd.Timestamp(read_value) == pd.Timestamp(right)) if hasattr(right, "year") else read_value == right


SAME_AS = {
    "r_tab.tsv": ("control_r.csv", "power", "R writes"),
    "r_space.txt": ("control_r.csv", "power", "R writes"),
    "r_comma.csv": ("control_r.csv", "power", "R writes"),
    "r_names.txt": ("control_r.csv", "power", "R writes"),
    "european.csv": ("control_european.csv", "preis", "'flaeche': '3.772' (line 3) is read as 3772"),
    "dayfirst.csv": ("dayfirst_iso.csv", "demand", "day first"),
}


@pytest.mark.parametrize("name", SAME_AS)
def test_a_case_is_read_as_its_control(name):
    control, target, said = SAME_AS[name]
    table = read(CASES / name, target)
    pd.testing.assert_frame_equal(table.frame, read(CASES / control, target).frame, check_exact=True)
    assert any(said in remark for remark in table.remarks)


def by_hand(name: str, delimiter: str, skipped: int = 1) -> list[list[float]]:
    """Every cell with all but its digits, sign and point taken out: right for these files, whose points are decimal."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()[skipped:]
    cells = [re.findall(rf'"[^"]*"|[^{delimiter}]+', line) for line in lines]
    return [[float(re.sub(r"[^0-9.-]", "", cell)) for cell in row] for row in cells]


@pytest.mark.parametrize(
    ("name", "target", "delimiter", "skipped", "said"),
    [
        ("thousands_quoted.csv", "price", ",", 1, "'2,100' (line 2) is read as 2100"),
        ("currency.csv", "price", ",", 1, "'$1,875.00' (line 2) is read as 1875 $"),
        ("swiss.csv", "price", ";", 1, '"3\'897" (line 2) is read as 3897'),
        ("units.csv", "power", ",", 2, "the units (speed km/h, load kN, power W)"),
    ],
)
def test_numbers_that_are_formatted_are_read_and_said(name, target, delimiter, skipped, said):
    table = read(CASES / name, target)
    assert table.frame.to_numpy(dtype=float).tolist() == by_hand(name, delimiter, skipped)
    assert any(said in remark for remark in table.remarks)


def test_decimal_commas_between_commas_are_refused_with_both_counts():
    with pytest.raises(DataError, match=r"line 2 has 6 cells and the header 3 \(speed, load, power\); decimal commas"):
        read(CASES / "comma_comma.csv", "power")


@pytest.mark.parametrize("name", ODD)
def test_an_odd_table_is_read_right_or_refused(tmp_path, name):
    odd = ODD[name]
    path = tmp_path / odd.name
    path.write_bytes(odd.text if isinstance(odd.text, bytes) else odd.text.encode())
    if odd.refused:
        with pytest.raises(DataError, match=odd.refused) as raised:
            read(path, odd.target, **odd.options)
        assert "\n" not in str(raised.value)
        return
    table = read(path, odd.target, **odd.options)
    for column, right in odd.right.items():
        assert len(table.frame) == len(right)
        assert all(same(*pair) for pair in zip(table.frame[column].tolist(), right, strict=True)), table.frame[column]
    assert any(odd.said in remark for remark in table.remarks) or not odd.said, table.remarks
    again = rebuild(ReadingRules, json.loads(json.dumps(table.rules.to_dict())))
    assert again == table.rules
    pd.testing.assert_frame_equal(table_of(path, Reading(rules=again)).frame, table.frame)


TEXTS = st.text(st.sampled_from("0123456789.,;:'\"#%|/- \t\n\rabNAeE€$()+"), max_size=300)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"]))
def test_no_text_brings_a_traceback_or_other_rules(tmp_path_factory, text, encoding):
    folder = tmp_path_factory.mktemp("texts")
    path = folder / "a.csv"
    path.write_bytes(text.encode(encoding, "replace"))
    try:
        table = table_of(path)
        again = table_of(path, Reading(rules=table.rules))
        pd.testing.assert_frame_equal(again.frame, table.frame)
    except SizerError as refused:
        said = str(refused)
    else:
        said = ""
    finally:
        shutil.rmtree(folder)
    assert "\n" not in said


@settings(max_examples=200, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_number_is_exact_in_the_form_that_it_is_written_in(value):
    for position, (decimal, grouping) in enumerate(MARKS):
        text = f"{value:,}".replace(",", "\0").replace(".", decimal).replace("\0", grouping)
        taken = take_apart(text)
        assert taken is not None
        assert float(taken.values[position]) == float(value)


@given(st.datetimes(pd.Timestamp("1970-01-01").to_pydatetime(), pd.Timestamp("2068-12-31").to_pydatetime()))
def test_a_date_is_the_same_in_every_order(day):
    day = day.replace(second=0, microsecond=0)
    right = (day - pd.Timestamp("1970-01-01")).total_seconds()
    for order, form in zip(ORDERS, ("%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p"), strict=True):
        assert read_date(day.strftime(form)).seconds[ORDERS.index(order)] == right


def test_a_code_for_missing_is_named_and_taken_out_when_named(tmp_path):
    codes = ["-200" if i % 8 == 0 else f"{x}" for i, x in enumerate(X)]
    (tmp_path / "a.csv").write_text(rows(["x", "z", "y"], codes, [i % 7 + i / 50 for i in range(N)], Y))
    found = prepare(read(tmp_path / "a.csv"), PreparingSettings(("y",)))
    (said,) = [remark for remark in found.report.remarks if "code for missing" in remark]
    assert "'x' is -200 in" in said
    assert said.endswith("--missing -200 says so")
    again = prepare(read(tmp_path / "a.csv", missing=("-200",)), PreparingSettings(("y",)))
    assert "x" in again.report.missing
    assert not any("code for missing" in remark for remark in again.report.remarks)


@pytest.mark.parametrize(
    ("values", "is_one"),
    [
        (np.r_[np.linspace(0, 12, 200), [999] * 20], True),
        (np.r_[np.linspace(600, 2000, 200), [-200] * 20], True),
        (np.r_[np.linspace(0, 12, 200), 999], False),  # (one row only)
        (np.r_[np.zeros(150), np.linspace(0.1, 40, 60)], False),  # (rain)
        (np.tile([0.0, 1.0], 100), False),
        (np.random.default_rng(0).lognormal(0, 2, 500), False),
        (np.r_[np.linspace(5, 95, 200), [99] * 20], False),  # (a nine among its like)
    ],
)
def test_what_is_a_likely_code_for_missing(values, is_one):
    assert (likely_codes(pd.Series(values, name="x")) is not None) == is_one


def test_whole_numbers_beyond_2_53_are_told_apart(tmp_path):
    (tmp_path / "a.csv").write_text(rows(["x", "y"], X, [2**53 + i % 2 for i in range(N)]))
    found = prepare(read(tmp_path / "a.csv"), PreparingSettings(("y",)))
    assert found.preparation.target.classes == (2**53, 2**53 + 1)
    (tmp_path / "b.csv").write_text(rows(["id", "x", "y"], [2**53 + i % 2 for i in range(N)], X, Y))
    reasons = dict(prepare(read(tmp_path / "b.csv"), PreparingSettings(("y",))).report.left_out)
    assert "beyond 2^53" in reasons["id"]
    with pytest.raises(DataError, match=r"beyond 2\^53"):
        prepare(read(tmp_path / "a.csv"), PreparingSettings(("y",), "regression"))


ARFF = "% made here\n@relation r\n@attribute x numeric\n@attribute town {Bern,'New York'}\n@attribute y real\n@data\n"


def test_arff_and_libsvm_are_read_exactly_or_refused(tmp_path):
    towns = ["Bern", "'New York'", "?"]
    (tmp_path / "a.arff").write_text(
        ARFF + "".join(f"{x},{towns[i % 3]},{y}\n" for i, (x, y) in enumerate(zip(X, Y, strict=True)))
    )
    frame = read(tmp_path / "a.arff").frame
    assert (frame["x"].tolist(), frame["y"].tolist()) == (X, Y)
    assert frame["town"].tolist()[:2] == ["Bern", "New York"]
    assert pd.isna(frame["town"][2])
    (tmp_path / "long.arff").write_text(ARFF + "1,Bern,2,3\n" * 3)
    with pytest.raises(DataError, match=r"line 7 has 4 cells and the header 3 \(x, town, y\)"):
        read(tmp_path / "long.arff")
    (tmp_path / "sparse.arff").write_text(ARFF + "{0 1, 2 3}\n")
    with pytest.raises(DataError, match="CSVSaver"):
        read(tmp_path / "sparse.arff")
    (tmp_path / "text.arff").write_text(ARFF.replace("x numeric", "'the day' date yyyy-MM-dd") + "2021-03-04,Bern,1\n")
    assert str(read(tmp_path / "text.arff").frame["the day"][0].date()) == "2021-03-04"


def test_libsvm_has_the_same_columns_in_new_data(tmp_path):
    pytest.importorskip("sklearn")
    (tmp_path / "a.svm").write_text("".join(f"{y} 1:{x} 3:{i}\n" for i, (x, y) in enumerate(zip(X, Y, strict=True))))
    table = read(tmp_path / "a.svm")
    assert (table.targets, list(table.frame.columns)) == (("target",), ["x_1", "x_2", "x_3", "target"])
    assert (table.frame["x_1"].tolist(), table.frame["target"].tolist()) == (X, Y)
    (tmp_path / "new.svm").write_text("1 1:2.5\n0 1:3.5\n")
    new = table_of(tmp_path / "new.svm", Reading(rules=table.rules)).frame
    assert new[["x_1", "x_3"]].to_numpy().tolist() == [[2.5, 0.0], [3.5, 0.0]]


def test_validation_data_is_read_by_the_rules_of_the_training_data(tmp_path):
    (tmp_path / "a.csv").write_text(
        rows(["x", "y"], [f"{v:.3f}".replace(".", ",") for v in X], [f"{v:.2f}".replace(".", ",") for v in Y], mark=";")
    )
    (tmp_path / "b.csv").write_text("x;y\n1,500;2,5\n2.000,250;3,5\n")
    table = read(tmp_path / "a.csv")
    assert table_of(tmp_path / "b.csv", Reading(rules=table.rules)).frame["x"].tolist() == [1.5, 2000.25]
    (tmp_path / "c.csv").write_text("x;y\n1.5;2,5\n")
    with pytest.raises(DataError, match=r"c.csv: column 'x' holds '1.5' in line 2, .*decimal comma"):
        table_of(tmp_path / "c.csv", Reading(rules=table.rules))


def saved(folder: Path, text: str, target: str, **options) -> tuple[SavedNetwork, Path]:
    """A network of untrained weights, saved with all that a search saves."""
    (folder / "first.csv").write_text(text)
    found = prepare(read(folder / "first.csv", target, **options), PreparingSettings((target,)))
    topology = Topology.of_first_width("rectangle", 8, 2, found.task.input_dim, found.task.output_dim)
    torch.manual_seed(0)
    network = SavedNetwork.of_weights(
        found.preparation, topology, topology.build().state_dict(), facts_of_reading(found)
    )
    network.save(folder / "m.pt2")
    return network, folder / "m.pt2"


EUROPEAN = rows(
    ["fläche", "tag", "heizung", "preis"],
    [f"{1000 + 97 * i:,}".replace(",", ".") for i in range(N)],
    [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2021" for i in range(N)],
    ["None", "Gas", "Öl", "Gas"] * (N // 4),
    [f"{y:.2f}".replace(".", ",") for y in Y],
    mark=";",
)


def test_a_saved_network_reads_new_data_as_the_search_did(tmp_path, capsys, monkeypatch):
    network, path = saved(tmp_path, EUROPEAN, "preis", missing=("-200",))
    again = load(path)
    assert again.reading == network.reading
    (tmp_path / "new.csv").write_text('"fläche";tag;heizung\n1.500;"05.03.2021";None\n-200;06.03.2021;Gas\n')
    frame = pd.DataFrame(
        {"fläche": [1500.0, np.nan], "tag": pd.to_datetime(["2021-03-05", "2021-03-06"]), "heizung": ["None", "Gas"]}
    )
    predicted = again.predict_source(tmp_path / "new.csv")
    right = again.predict(frame)
    assert np.ravel(predicted.values) == pytest.approx(right, rel=1e-12)
    assert again.predict(pd.read_csv(tmp_path / "new.csv", sep=";", dtype=str, keep_default_na=False)) == pytest.approx(
        right
    )
    monkeypatch.chdir(tmp_path)
    assert run(["predict", "m.pt2", "new.csv", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["format"], record["target"]) == ("sizer.predictions/1", ["preis"])
    assert np.ravel(record["values"]) == pytest.approx(right)
    assert run(["predict", "m.pt2", "new.csv", "--output", "out.csv"]) == 0
    assert pd.read_csv("out.csv")["preis"].tolist() == pytest.approx(right)
    capsys.readouterr()
    (tmp_path / "bad.csv").write_text("fläche;tag;heizung\n1.500;2021-03-05;None\n")
    assert run(["predict", "m.pt2", "bad.csv"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "column 'tag' holds '2021-03-05' in line 2" in line
    assert "day first" in line


def test_classes_come_with_their_probability(tmp_path, capsys, monkeypatch):
    _, path = saved(tmp_path, rows(["x", "y"], X, ["-", "+"] * (N // 2)), "y")
    monkeypatch.chdir(tmp_path)
    assert run(["predict", str(path), "first.csv"]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header == "y,probability"
    assert re.fullmatch(r"[+-],0\.[5-9][0-9]*", first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame, None),
        (lambda frame: frame.assign(x=frame["x"] * 1000), "'x' is .* about 1,000 times"),
        (lambda frame: frame.assign(x=frame["x"] / 1000), "'x' is .* about 0.001 times"),
        (lambda frame: frame.assign(z=frame["z"] / 1000), "'z' spreads 0.0009 times"),
        (lambda frame: frame.assign(town=["Paris", "Rome"] * (N // 2)), "'town' has categories in 100%"),
        (lambda frame: frame.assign(x=[np.nan, 550.0] * (N // 2)), "'x' is missing in 50% of the rows, and was in 0%"),
        (lambda frame: frame.head(1), None),
        (lambda frame: frame.sample(10, random_state=0), None),
    ],
)
def test_a_frame_that_looks_otherwise_is_named_by_its_column(tmp_path, change, said):
    frame = pd.DataFrame(
        {
            "x": 500 + np.array(X),
            "z": np.random.default_rng(0).normal(size=N),
            "town": ["Bern", "Ulm"] * (N // 2),
            "y": Y,
        }
    )
    network, _ = saved(tmp_path, frame.to_csv(index=False), "y")
    doubts = network.doubts(change(frame))
    assert len(doubts) == (said is not None)
    assert said is None or re.search(said, doubts[0])


def test_a_network_saved_before_rules_were_still_predicts(tmp_path):
    network, _ = saved(tmp_path, rows(["x", "y"], X, Y), "y")
    old = SavedNetwork(network.preparation, network.topology, network.module, {"metric": "loss"})
    old.save(tmp_path / "old.pt2")
    again = load(tmp_path / "old.pt2")
    assert again.reading is None
    assert again.doubts(pd.DataFrame({"x": X})) == []
    assert np.ravel(again.predict_source(tmp_path / "first.csv").values) == pytest.approx(
        network.predict(pd.DataFrame({"x": X}))
    )


def test_a_dataframe_with_numbers_in_text_is_read_by_the_same_rules():
    frame = pd.DataFrame({"x": ["1.234,5", "2,25"] * 20, "d": ["31.12.2021", "01.02.2022"] * 20, "y": Y})
    table = table_of(frame, Reading(targets=("y",)))
    assert table.frame["x"].tolist()[:2] == [1234.5, 2.25]
    assert str(table.frame["d"][0].date()) == "2021-12-31"
    assert any("(row 1)" in remark for remark in table.remarks)


def test_the_record_keeps_how_the_table_was_read(tmp_path):
    (tmp_path / "a.csv").write_text(EUROPEAN)
    report = prepare(read(tmp_path / "a.csv", "preis"), PreparingSettings(("preis",))).report
    rules = {rule.name: rule for rule in report.reading.columns}
    assert (rules["fläche"].form.decimal, rules["fläche"].form.grouping) == (",", ".")
    assert rules["tag"].order == "dmy"
    assert report.reading.notation["delimiter"] == "semicolons"
    assert not rules["preis"].is_used


@pytest.mark.slow
def test_the_benchmark_reads_no_table_wrongly():
    script = Path(__file__).parents[1] / "benchmarks" / "tables.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 read wrongly" in done.stdout
