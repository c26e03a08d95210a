"""Preparation: what each column becomes, nothing from the validation part, the same arithmetic when it is read back."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sizer.base.errors import DataError, SizerError
from sizer.size_search.data.preparation import Preparation
from sizer.size_search.data.prepare import PreparingSettings, prepare, split_rows, strata_of
from sizer.size_search.data.table import Table

random = np.random.default_rng(5)
N = 200


def table(**columns) -> Table:
    return Table("data.csv", pd.DataFrame({"x": random.normal(size=N), "y": random.normal(size=N)} | columns))


def prepared(target="y", options=None, validation=None, **columns):
    return prepare(table(**columns), PreparingSettings((target,), **(options or {})), validation)


def feature(found, name: str) -> np.ndarray:
    return found.task.train_features[:, found.preparation.feature_names.index(name)]


def test_numbers_and_targets_are_scaled_by_the_training_rows():
    found = prepared(z=random.normal(1e6, 3.0, N))
    features, targets = found.task.train_features, found.task.train_targets
    assert (features.dtype, targets.dtype, targets.shape) == (np.float32, np.float32, (160, 1))
    for part in (features, targets):
        assert np.allclose(part.mean(axis=0), 0, atol=1e-5)
        assert np.allclose(part.std(axis=0), 1, atol=1e-5)
    assert not np.allclose(found.task.validation_features.mean(axis=0), 0, atol=1e-5)


def test_nothing_of_the_validation_part_reaches_the_preparation():
    source = table(city=random.choice(["a", "b"], N), z=np.where(random.random(N) < 0.2, np.nan, 1.5))
    held = split_rows(strata_of(source.frame["y"].to_numpy(), is_classification=False), 0.2, 0).validation
    first = prepare(source, PreparingSettings(("y",)))
    changed = source.frame.copy()
    changed.loc[held, "x"] = 1e9
    changed.loc[held, "z"] = np.nan
    changed.loc[held, "city"] = "only there"
    second = prepare(Table("data.csv", changed), PreparingSettings(("y",)))
    assert second.preparation == first.preparation
    assert np.array_equal(second.task.train_features, first.task.train_features)
    assert not np.array_equal(second.task.validation_features, first.task.validation_features)


def test_missing_numbers_get_the_median_and_a_flag():
    z = np.where(np.arange(N) % 4 == 0, np.nan, np.arange(N) ** 2.0)
    found = prepared(z=z)
    column = next(column for column in found.preparation.numbers if column.name == "z")
    flags = feature(found, "z is missing")
    assert set(flags.tolist()) == {0.0, 1.0}
    assert found.report.missing == {"z": int(flags.sum())}
    filled = feature(found, "z")[flags == 1]
    assert np.allclose(filled, (column.fill - column.mean) / column.scale)
    assert "x is missing" not in found.preparation.feature_names


def test_categories_become_a_feature_each_and_unknown_ones_none():
    city = random.choice(["a", "b", "c"], N).astype(object)
    city[::10] = None
    found = prepared(city=city)
    names = ["city=a", "city=b", "city=c", "city=missing"]
    assert found.preparation.feature_names == ["x", *names]
    assert np.array_equal(found.task.train_features[:, 1:].sum(axis=1), np.ones(160))
    unseen = found.preparation.features(pd.DataFrame({"x": [0.0], "city": ["elsewhere"]}))
    assert unseen[0, 1:].tolist() == [0, 0, 0, 0]


def test_many_categories_keep_the_frequent_ones_or_are_left_out():
    frequent = random.choice([f"c{i}" for i in range(20)], 4000).astype(object)
    frequent[:150] = [f"rare{i}" for i in range(150)]
    frame = pd.DataFrame(
        {
            "few": frequent,
            "names": [f"person {i}" for i in random.permutation(4000)],
            "towns": [f"town {i}" for i in random.integers(0, 1000, 4000)],
            "y": random.normal(size=4000),
        }
    )
    found = prepare(Table("t", frame), PreparingSettings(("y",)))
    (column,) = found.preparation.categories
    assert (column.has_other, len(column.categories)) == (True, 99)
    assert "few=other" in found.preparation.feature_names
    reasons = dict(found.report.left_out)
    assert "another text in nearly every row" in reasons["names"]
    assert "too many for categories" in reasons["towns"]
    assert any("most frequent" in remark for remark in found.report.remarks)


def test_columns_that_say_nothing_are_left_out_with_the_reason():
    found = prepared(
        constant=3,
        nothing=np.nan,
        index=np.arange(N),
        lists=[[1]] * N,
        same=["a"] * N,
        names=[f"person {i}" for i in range(N)],
        switch=np.where(np.arange(N) % 2, 1.0, np.nan),
    )
    assert {name for name, _ in found.report.left_out} == {"constant", "nothing", "index", "lists", "same", "names"}
    assert found.preparation.column_names == ("x", "switch")


def test_dates_booleans_and_numbers_in_text_are_numbers():
    days = pd.date_range("2020-01-01", periods=N, freq="D").to_numpy().copy()
    random.shuffle(days)
    text = np.array([f"{value:.3f}" for value in random.normal(size=N)], dtype=object)
    text[3] = "unknown"
    found = prepared(day=days, written=days.astype("datetime64[D]").astype(str), flag=days > days[0], text=text)
    assert [column.role for column in found.preparation.numbers] == ["number", "time", "time", "number", "number"]
    assert np.allclose(feature(found, "day"), feature(found, "written"), atol=1e-6)
    assert any("'unknown'" in remark for remark in found.report.remarks)


def test_infinite_features_are_missing_and_huge_ones_are_scaled():
    z = random.normal(size=N) * 1e307
    z[:2] = np.inf, -np.inf
    found = prepared(z=z)
    assert np.isfinite(found.task.train_features).all()
    assert np.isfinite(found.task.validation_features).all()
    assert any("infinite" in remark for remark in found.report.remarks)


@pytest.mark.parametrize(
    ("values", "metric", "kind"),
    [
        (["yes", "no"], "loss", "classification"),
        ([True, False], "loss", "classification"),
        ([0, 1, 2], "loss", "classification"),
        ([0, 1, 2], "r2", "regression"),
        ([0.5, 1.25], "loss", "regression"),
        (range(100), "loss", "regression"),
        (range(50), "accuracy", "classification"),
    ],
)
def test_the_kind_is_found_out(values, metric, kind):
    values = list(values)
    found = prepared(target="t", options={"metric": metric}, t=[values[i % len(values)] for i in range(N)])
    assert found.task.kind == kind
    if kind == "classification":
        assert found.task.output_dim == len(set(values))
        assert found.task.train_targets.dtype == np.int64
    guessed = metric == "loss" and isinstance(values[0], int) and not isinstance(values[0], bool)
    assert any("whole numbers" in remark for remark in found.report.remarks) == guessed


def test_classes_keep_their_names_and_their_order():
    found = prepared(target="t", t=random.choice(["10", "9", "02"], N))
    assert found.preparation.target.classes == ("02", "10", "9")
    found = prepared(target="t", t=random.choice([10, 9, 2], N))
    assert found.preparation.target.classes == (2, 9, 10)


def test_several_targets_and_positions_from_the_end():
    source = table(z=random.normal(size=N))
    both = prepare(source, PreparingSettings(("y", "z")))
    assert (both.task.output_dim, both.preparation.column_names) == (2, ("x",))
    assert prepare(source, PreparingSettings(("-1",))).preparation.target.names == ("z",)


def test_rows_without_a_target_are_left_out():
    y = random.normal(size=N)
    y[:30] = np.nan
    found = prepared(y=y)
    assert found.report.n_train + found.report.n_validation == N - 30
    assert any("30 rows without a target" in remark for remark in found.report.remarks)


def test_given_validation_data_is_used_as_it_is():
    other = table()
    found = prepared(validation=other)
    assert (found.report.n_train, found.report.n_validation) == (N, N)
    with pytest.raises(DataError, match="no column 'x'"):
        prepared(validation=Table("v", other.frame.drop(columns="x")))
    classes = Table("v", other.frame.assign(t="c"))
    with pytest.raises(DataError, match="training data lacks: c"):
        prepared(target="t", validation=classes, t=random.choice(["a", "b"], N))


BAD = [
    ({"target": "price"}, "no column 'price'; the last one is 'y'; the columns are x, y"),
    ({"y": 1.0}, "in every row: there is nothing to learn"),
    ({"y": np.nan}, "has no value"),
    ({"y": "same"}, "in every row: there is nothing to learn"),
    ({"y": [f"name {i}" for i in range(N)]}, "200 different values in 200 rows, too many for classes"),
    ({"y": np.r_[np.inf, np.ones(N - 1)], "options": {"metric": "r2"}}, "infinite in 1 row"),
    ({"y": ["a", "b"] * (N // 2), "options": {"metric": "r2"}}, "'a', which is no number"),
    ({"options": {"metric": "accuracy"}}, "name a metric of regression"),
    ({"options": {"metric": "f7"}}, "unknown metric 'f7'"),
    ({"x": 1.0}, "no column to predict from"),
    ({"options": {"validation_share": 0.001}}, "leaves none"),
    ({"options": {"validation_share": 1.0}}, "validation_share is 1.0"),
    ({"options": {"kind": "ranking"}}, "unknown kind 'ranking'"),
]


@pytest.mark.parametrize(("given", "said"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_data_with_nothing_to_learn_from_gets_one_line(given, said):
    with pytest.raises(SizerError, match=said) as raised:
        prepared(**given)
    assert "\n" not in str(raised.value)


def test_ten_thousand_classes_and_three_rows():
    names = pd.DataFrame({"x": np.arange(20_000.0), "y": [f"n{i % 10_000}" for i in range(20_000)]})
    with pytest.raises(DataError, match="10,000 different values in 20,000 rows"):
        prepare(Table("t", names), PreparingSettings(("y",)))
    with pytest.raises(DataError, match="3 rows with a target; a search needs at least 20"):
        prepare(Table("t", names.head(3)), PreparingSettings(("y",), "classification"))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=20, max_size=300),
    st.floats(0.05, 0.9),
    st.integers(0, 2**31),
)
def test_a_split_keeps_every_row_once_and_every_stratum_alike(strata, share, seed):
    strata = np.array(strata)
    split = split_rows(strata, share, seed)
    assert np.array_equal(np.sort(np.r_[split.train, split.validation]), np.arange(len(strata)))
    assert np.array_equal(split_rows(strata, share, seed).train, split.train)
    for stratum in np.unique(strata):
        count = int((strata == stratum).sum())
        held = int((strata[split.validation] == stratum).sum())
        assert held < count
        assert abs(held - share * count) <= 1 + 1e-9


def test_another_seed_splits_otherwise():
    strata = np.zeros(100, dtype=int)
    assert not np.array_equal(split_rows(strata, 0.2, 0).train, split_rows(strata, 0.2, 1).train)


def test_a_preparation_survives_json():
    city = random.choice(["a", "b"], N).astype(object)
    city[0] = None
    found = prepared(target="t", t=random.choice(["u", "v"], N), city=city)
    again = Preparation.from_dict(json.loads(json.dumps(found.preparation.to_dict(), allow_nan=False)))
    assert again == found.preparation
    frame = pd.DataFrame({"x": [1.0, np.nan], "y": [0.0, 2.0], "city": ["b", "zzz"]})
    assert np.array_equal(again.features(frame), found.preparation.features(frame))


def test_whole_numbers_beyond_all_floats_are_infinite():
    found = prepared(z=[10**400, -(10**400), *range(N - 2)])
    assert "'z' is infinite in" in " ".join(found.report.remarks)
    with pytest.raises(DataError, match="target 'z' is infinite in"):
        prepared("z", {"kind": "regression"}, z=[10**400, -(10**400), *range(N - 2)])
