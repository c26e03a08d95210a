"""The published files' quirks, and what is damaged or missing: named with counts, never a traceback."""

from __future__ import annotations

import io
import zipfile
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from study_files import NODES, SIX_SAMPLES, log, write_folder, write_metadata, write_nodes, write_power

from sizer.base.errors import MeasurementError, UsageError
from sizer.study.files.partitioned import Partitioned, parse_where
from sizer.study.files.power_logs import read_power, to_utc
from sizer.study.files.schema import METADATA, SUMMARIES, is_safe
from sizer.study.files.tables import describe, read_metadata, read_nodes, read_standardized, read_summaries, select
from sizer.study.generated.design import Plan
from sizer.study.generated.generate import generate
from sizer.study.runs.runs import load_runs, write_runs


def counts(rules) -> dict[str, int]:
    return {rule.name: rule.count for rule in rules if rule.count}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A generated folder, which no test changes."""
    folder = tmp_path_factory.mktemp("generated")
    grid = {"datasets": ("mnist", "sleep"), "depths": (2, 3, 4), "shapes": ("rectangle", "trapezoid")}
    generate(folder, Plan(runs=130, seed=2, faults=0.0, sizes=(2**14, 2**16, 2**18, 2**20), **grid))
    return folder


def utc(*texts: str) -> list[int]:
    return [int(pd.Timestamp(text, tz="UTC").value // 1000) for text in texts]


def local(*texts: str) -> np.ndarray:
    return np.array([pd.Timestamp(text).value // 1000 for text in texts])


def test_the_trailing_z_is_local_time(tmp_path):
    folder = write_folder(tmp_path, logs={"7.csv": log(("06:00:00", 1)), "8.csv": log(("2023-12-01T06:00:00", 1))})
    assert read_power(folder).time_us.tolist() == utc("2023-07-01 12:00:00", "2023-12-01 13:00:00")


@pytest.mark.parametrize("text", ["2023-07-01 06:00:00", "2023-07-01T06:00:00+00:00", "2023-07-01T06:00:00.000000"])
def test_whatever_zone_a_sample_claims(tmp_path, text):
    write_power(tmp_path, {"7.csv": f"timestamp,node,watts\n{text},c1,5\n"})
    assert read_power(tmp_path).time_us.tolist() == utc("2023-07-01 12:00:00")


def test_times_of_a_year_agree_with_the_time_zone_data_base():
    moments = pd.date_range("2023-01-01", "2024-01-01", freq="613s", tz="UTC")
    there = moments.tz_convert(ZoneInfo("US/Mountain")).tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    found, impossible = to_utc(there, np.zeros(len(there), dtype=np.int64))
    assert not impossible.any()
    assert np.array_equal(found, moments.to_numpy("datetime64[us]").astype(np.int64))


def test_the_hour_that_comes_twice():
    """Clocks went back from 2:00 to 1:00 on 2023-11-05: 1:30 is 7:30 UTC and 8:30 UTC."""
    one = np.zeros(1, dtype=np.int64)
    cases = {
        ("00:59", "01:00", "01:59", "01:00", "01:59", "02:00"): ("06:59", "07:00", "07:59", "08:00", "08:59", "09:00"),
        ("00:40", "00:59", "01:30"): ("06:40", "06:59", "07:30"),
        ("01:30", "01:59", "02:00"): ("08:30", "08:59", "09:00"),
        ("01:30",): ("07:30",),
    }
    for times, expected in cases.items():
        found, _ = to_utc(local(*(f"2023-11-05 {time}" for time in times)), np.repeat(one, len(times)))
        assert found.tolist() == utc(*(f"2023-11-05 {time}" for time in expected)), times


def test_the_hour_that_never_comes_is_counted(tmp_path):
    samples = (("2023-03-12T01:59:00", 5), ("2023-03-12T02:30:00", 5), ("2023-03-12T03:00:00", 5))
    power = read_power(write_folder(tmp_path, logs={"7.csv": log(*samples)}))
    assert power.time_us.tolist() == utc("2023-03-12 08:59", "2023-03-12 09:00")
    assert counts(power.rules) == {"unreadable sample": 1}


def test_duplicates_and_disorder_are_counted_and_put_right(tmp_path):
    samples = [*SIX_SAMPLES[3:], *SIX_SAMPLES[:3], SIX_SAMPLES[0], (SIX_SAMPLES[1][0], 999), ("06:05:30", ""), ("x", 3)]
    text = log(*samples).replace("2023-07-01TxZ", "soon")
    power = read_power(write_folder(tmp_path, logs={"7.csv": text}))
    assert power.watts.tolist() == [watts for _, watts in SIX_SAMPLES]
    assert (np.diff(power.time_us) == 60_000_000).all()
    assert counts(power.rules) == {"unreadable sample": 2, "unordered": 2, "written twice": 1, "two powers": 1}
    assert next(rule for rule in power.rules if rule.name == "two powers").examples == ("job 7 on c1",)


def test_nodes_of_one_log_are_kept_apart(tmp_path):
    lines = log(("06:00:00", 1)) + "2023-07-01T06:00:00Z,g1,2\n2023-07-01T06:01:00Z,c1,3\n2023-07-01T06:01:00Z,g1,4\n"
    power = read_power(write_folder(tmp_path, logs={"7.csv": lines}))
    assert counts(power.rules) == {}
    assert power.logs.to_numpy().tolist() == [[7, "c1"], [7, "g1"]]
    assert power.watts.tolist() == [1, 3, 2, 4]


def test_members_that_are_no_power_logs(tmp_path):
    logs = {
        "7.csv": log(*SIX_SAMPLES),
        "butter_e_energy/8.csv": log(*SIX_SAMPLES),
        "../../9.csv": log(*SIX_SAMPLES),
        "/etc/10.csv": log(*SIX_SAMPLES),
        "notes.txt": "",
        "99999999999999999999.csv": log(*SIX_SAMPLES),
        "11.csv": "timestamp,watts\n2023-07-01T06:00:00Z,5\n",
        "12.csv": b"\xff\xfe\x00binary\x00",
        "13.csv": "",
        "14.csv": "timestamp,node,watts\n2023-07-01T06:00:00Z,c1,many\n",
    }
    power = read_power(write_folder(tmp_path, logs=logs))
    assert power.jobs == {7, 8}
    assert counts(power.rules) == {"unsafe member": 2, "no power log": 2, "damaged log": 4}
    assert "no column node" in next(rule for rule in power.rules if rule.name == "damaged log").examples[0]


def test_a_member_with_a_wrong_checksum_is_one_damaged_log(tmp_path):
    folder = write_folder(tmp_path, logs={"7.csv": log(*SIX_SAMPLES), "8.csv": log(*SIX_SAMPLES)})
    path = folder / "butter_e_energy.zip"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"c1,600", b"c1,700", 1))
    power = read_power(folder)
    assert power.jobs == {8}
    assert counts(power.rules) == {"damaged log": 1}


def test_a_folder_of_logs_reads_as_its_zip_file(tmp_path):
    folder = write_folder(tmp_path)
    zipped = read_power(folder)
    with zipfile.ZipFile(folder / "butter_e_energy.zip") as archive:
        archive.extractall(folder / "butter_e_energy")
    (folder / "butter_e_energy.zip").unlink()
    unpacked = read_power(folder)
    assert unpacked.time_us.tolist() == zipped.time_us.tolist()
    assert unpacked.watts.tolist() == zipped.watts.tolist()


def test_only_the_jobs_that_are_asked_for(tmp_path):
    folder = write_folder(tmp_path, logs={"7.csv": log(*SIX_SAMPLES), "8.csv": "damaged"})
    power = read_power(folder, jobs={7})
    assert power.jobs == {7}
    assert counts(power.rules) == {}


@pytest.mark.parametrize("name", ["butter_e_energy.zip", "butter_e_metadata.csv.zip"])
def test_a_truncated_zip_file_is_named(tmp_path, name):
    folder = write_folder(tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MeasurementError, match=f"{name} is no complete zip file .* download it again"):
        read_power(folder) if "energy" in name else read_metadata(folder)


@pytest.mark.parametrize(
    "name", ["butter_e_energy.zip", "butter_e_metadata.csv.zip", "node_sinfo.csv", "node_power_dist.csv"]
)
def test_missing_files_say_which_and_where_to_get_them(tmp_path, name):
    folder = write_folder(tmp_path)
    (folder / name).unlink()
    with pytest.raises(MeasurementError, match=rf"has no {name} .*sizer study fetch.*submissions/5991"):
        load_runs(folder)
    assert any(name in warning for warning in describe(folder).warnings)
    with pytest.raises(MeasurementError, match="is no folder"):
        load_runs(tmp_path / "nowhere")


def test_metadata_keeps_its_text_and_reads_its_times(tmp_path):
    folder = write_folder(
        tmp_path, {"start_time": "2023-07-01 05:00:00.123456-07:00", "is_gpu": "t", "learning_rate": "1e-4"}
    )
    frame, rules = read_metadata(folder, with_run_data=True)
    assert list(frame.columns) == list(METADATA.columns)
    assert frame["start_time"][0] == pd.Timestamp("2023-07-01 12:00:00.123456", tz="UTC")
    assert (frame["learning_rate"][0], frame["batch_size"][0], frame["is_gpu"][0]) == ("1e-4", "256", True)
    assert counts(rules) == {}


def test_metadata_rows_that_are_no_runs_are_counted(tmp_path):
    write_metadata(
        tmp_path,
        {},
        {"run_id": "r0"},
        {"start_time": "yesterday"},
        {"host_name": ""},
        {"is_gpu": "perhaps"},
        {"size": ""},
        {"update_time": "2023-07-01 12:00:00+00:00"},
    )
    frame, rules = read_metadata(tmp_path)
    assert frame["run_id"].tolist() == ["r0"]
    assert counts(rules) == {"incomplete row": 4, "ends before it starts": 1, "listed twice": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run_id,size\nr0,5\n", "has no column old_experiment_id, slurm_job_id, start_time"),
        ("", "is no such table"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_metadata_that_is_another_table(tmp_path, content, message):
    with zipfile.ZipFile(tmp_path / "butter_e_metadata.csv.zip", "w") as archive:
        archive.writestr("butter_e_metadata.csv", content)
    with pytest.raises(MeasurementError, match=message):
        read_metadata(tmp_path)


def test_node_tables_have_blanks_repeats_and_unknown_types(tmp_path):
    write_nodes(tmp_path, {**NODES, "odd": "8, 1, 2, gpu:a100:4"})
    path = tmp_path / "node_sinfo.csv"
    path.write_text(path.read_text() + "c1, 36, 85248, 900000, (null)\n")
    frame, rules = read_nodes(tmp_path)
    assert frame["type"].dropna().to_dict() == {"c1": "cpu1", "c2": "cpu2", "g1": "gpu1", "g2": "gpu2"}
    assert frame.loc["c1", "p2"] == 220
    assert np.isnan(frame.loc["odd", "p2"])
    assert counts(rules) == {"listed twice": 1, "unknown node type": 1}


def test_summaries_are_read_by_column_and_partition(generated):
    frame, rules = read_summaries(
        generated, ["epoch", "widths", "learning_rate"], {"dataset": "mnist", "depth": (3, 4)}
    )
    everything = read_summaries(generated).frame
    expected = everything[(everything["dataset"] == "mnist") & everything["depth"].between(3, 4)]
    assert 0 < len(frame) == len(expected) < len(everything)
    assert list(frame.columns) == ["epoch", "widths", "learning_rate"]
    assert isinstance(frame["epoch"][0], np.ndarray)
    assert frame["learning_rate"].unique().tolist() == [0.0001]
    assert counts(rules) == {}
    assert set(SUMMARIES.columns) == set(Partitioned.open(generated / "summary_by_epoch").columns)


def test_partitions_that_cannot_match_are_not_opened(generated, tmp_path):
    import shutil

    copy = tmp_path / "summary_by_epoch"
    shutil.copytree(generated / "summary_by_epoch", copy)
    for path in copy.glob("dataset=sleep/**/*.parquet"):
        path.write_bytes(b"nothing")
    frame, rules = read_summaries(tmp_path, where={"dataset": "mnist"})
    assert len(frame) > 0
    assert counts(rules) == {}
    frame, rules = read_summaries(tmp_path)
    assert set(frame["dataset"]) == {"mnist", "505_tecator"}
    assert counts(rules)["unreadable file"] > 0


def test_parquet_with_a_missing_column_is_named(generated, tmp_path):
    import shutil

    import pyarrow.parquet as parquet

    copy = tmp_path / "summary_by_epoch"
    shutil.copytree(generated / "summary_by_epoch", copy)
    paths = sorted(copy.rglob("*.parquet"))
    table = parquet.ParquetFile(paths[-1]).read()
    parquet.write_table(table.drop_columns(["widths"]), paths[-1])
    whole = read_summaries(tmp_path, ["experiment_id"])
    some = read_summaries(tmp_path, ["experiment_id", "widths"])
    assert counts(whole.rules) == {}
    assert counts(some.rules) == {"missing column": 1}
    assert "dataset=" in some.rules[0].examples[0]
    assert len(whole.frame) == len(some.frame) + len(table)
    with pytest.raises(UsageError, match=r"has no column foo; it has .*depth"):
        read_summaries(tmp_path, ["foo"])
    for path in paths:
        parquet.write_table(parquet.ParquetFile(path).read().select(["epoch", "depth"]), path)
    with pytest.raises(UsageError, match="has no column experiment_id"):
        read_summaries(tmp_path)


def test_butter_s_own_partitions_and_keys_with_dots(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    for dataset, penalty in (("mnist", "l1"), ("adult", "__HIVE_DEFAULT_PARTITION__")):
        folder = (
            tmp_path
            / f"dataset={dataset}"
            / "learning_rate=0.0001"
            / f"kernel_regularizer.type={penalty}"
            / "epochs=3000"
        )
        folder.mkdir(parents=True)
        parquet.write_table(pa.table({"test_loss_median": [[1.0, 0.5]]}), folder / "0.parquet")
    opened = Partitioned.open(tmp_path)
    assert opened.keys == ("dataset", "learning_rate", "kernel_regularizer.type", "epochs")
    frame, _ = opened.read(opened.columns, {"learning_rate": 0.0001, "epochs": [3000, 300]})
    assert sorted(frame["dataset"]) == ["adult", "mnist"]
    assert frame.set_index("dataset")["kernel_regularizer.type"].isna().to_dict() == {"adult": True, "mnist": False}


def test_a_tar_that_is_not_unpacked_says_so(tmp_path):
    (tmp_path / "summary_by_epoch.tar").write_bytes(b"")
    with pytest.raises(MeasurementError, match="is not unpacked"):
        read_summaries(tmp_path)


def test_standardized_runs_come_back_as_they_were_written(generated, tmp_path):
    first = load_runs(generated)
    write_runs(first.frame, tmp_path)
    again = load_runs(tmp_path)
    assert again.rules == ()
    pd.testing.assert_frame_equal(again.frame, first.frame)
    (tmp_path / "runs.parquet").unlink()
    published = load_runs(tmp_path)
    columns = ["run_id", "std_energy", "energy_per_datum_j", "widths", "b_level", "start_time"]
    pd.testing.assert_frame_equal(published.frame[columns], first.frame[columns], rtol=1e-12)
    assert read_standardized(tmp_path).frame["start_time_int"].dtype == np.int64


def test_runs_that_a_filter_marked_are_left_out_and_counted(generated, tmp_path):
    frame = load_runs(generated).frame
    write_runs(frame.assign(filter=frame.index < 3), tmp_path)
    (tmp_path / "runs.parquet").unlink()
    found = load_runs(tmp_path)
    assert len(found.frame) == len(frame) - 3
    assert counts(found.rules) == {"filtered": 3}


@pytest.mark.parametrize("name", ["../x.csv", "/x.csv", "a/../../x.csv", "C:/x.csv", "..\\x.csv", "a\0b"])
def test_paths_that_lead_out(name):
    assert not is_safe(name)
    assert is_safe("butter_e_energy/7.csv")


def test_filters_from_the_command_line():
    texts = ["dataset=mnist", "depth=2,4", "size=32..1024", "learning_rate=..0.01", "has_label_noise=false"]
    assert parse_where(texts) == {
        "dataset": "mnist",
        "depth": [2, 4],
        "size": (32, 1024),
        "learning_rate": (None, 0.01),
        "has_label_noise": False,
    }
    with pytest.raises(UsageError, match="expected COLUMN=VALUE"):
        parse_where(["dataset"])


@pytest.mark.parametrize("table", ["metadata", "power", "nodes", "summaries"])
def test_tables_are_filtered_and_written(generated, tmp_path, table):
    where = {"metadata": {"depth": (3, None)}, "power": {"watts": (300, None)}, "nodes": {"type": "gpu1"}}
    step = select(generated, table, None, where.get(table, {"depth": 3}), tmp_path)
    written = pd.read_parquet(io.BytesIO((tmp_path / f"{table}.parquet").read_bytes()))
    assert 0 < len(written) == step.rows_out
    assert step.rows_in is None or step.rows_in > step.rows_out
    assert {row["column"] for row in step.table} == set(written.columns)
    with pytest.raises(UsageError, match="no column foo"):
        select(generated, table, ["foo"], {}, None)
