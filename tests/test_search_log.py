"""A search's folder: what is noted is read back, checkpoints come before their lines, and what is damaged is said."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sizer.base.errors import MeasurementError, UsageError
from sizer.base.storage import read_objects
from sizer.size_search.data.table import CustomTask, Task
from sizer.size_search.log import (
    LOG_FORMAT,
    Epoch,
    LogEntry,
    Planned,
    SearchFolder,
    check_same,
    fingerprint,
    read_checkpoint,
    write_checkpoint,
)
from sizer.size_search.settings import SearchSettings

SIZE = {"widths": [8, 1], "epoch_cost": 1.0, "flops_per_epoch": 100, "anchor": None}
HEADER = {
    "format": LOG_FORMAT,
    "task": "the data",
    "settings": {"target": 0.1},
    "device": "cpu",
    "quantity": "time",
    "first": "8",
    "candidates": [{"name": name, **SIZE} for name in ("4", "8", "8 at 0.003", "16")],
}
EPOCH = Epoch(1, 0.9, 0.8, 0.7, 0.5, 0.4, 12.0, 30, 0.75, "averaged")
NAME = "trials/8 at 0.003/000001.pt"
ENTRY = LogEntry("8 at 0.003", (EPOCH, EPOCH._replace(epoch=2, energy_j=None, choosing=None)), NAME)


def written(folder: Path, *lines: object) -> SearchFolder:
    """A folder whose log has a header and these lines."""
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *lines)))
    return SearchFolder(folder)


def slice_line(**changes: object) -> dict:
    return {"event": "slice", "trial": "8", "checkpoint": None, "epochs": [list(EPOCH)], **changes}


# What one epoch says


def test_an_epoch_meets_a_target_where_both_halves_of_the_rows_do():
    epoch = EPOCH._replace(metric=0.7, choosing=0.75)
    assert epoch.meets("loss", 0.75)
    assert not epoch.meets("loss", 0.74)
    assert epoch._replace(choosing=None).meets("loss", 0.7)
    assert epoch.meets("r2", 0.7)
    assert not epoch.meets("r2", 0.71)


def test_how_far_an_epoch_is_from_a_target_is_told_by_its_worse_half():
    epoch = EPOCH._replace(metric=0.7, choosing=0.75)
    assert epoch.shortfall("loss") == 0.75
    assert epoch.shortfall("r2") == pytest.approx(0.3)  # (what is missing to 1, of the half that decides)
    assert epoch._replace(choosing=None).shortfall("loss") == 0.7


def test_the_standing_of_an_epoch_is_of_the_rows_that_choose():
    epoch = EPOCH._replace(metric=0.7, choosing=0.75)
    assert epoch.standing("loss") == 0.75
    assert epoch.standing("r2") == pytest.approx(0.25)
    assert epoch._replace(choosing=None).standing("loss") == 0.7
    assert epoch._replace(choosing=math.nan).standing("loss") == math.inf


# What is noted


ENTRIES = [
    ENTRY,
    replace(ENTRY, checkpoint=None, ended="it met the target", where="node1", parent="4", diverged=True, why="hope"),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=["goes on", "has ended"])
def test_a_slice_that_is_kept_is_read_back(tmp_path, entry):
    folder = SearchFolder(tmp_path)
    folder.append(HEADER)
    folder.keep(entry, None)
    assert read_objects(tmp_path / "log.jsonl")[1]["event"] == "slice"
    log = folder.read()
    assert log.header == HEADER
    assert log.entries == [entry]
    assert log.open_round == []
    assert log.ensemble is None


def test_a_slice_of_an_earlier_release_says_less(tmp_path):
    """Of each epoch eight numbers, and neither where a slice ran nor what it grew from."""
    (entry,) = written(tmp_path, slice_line(epochs=[list(EPOCH)[:8]])).read().entries
    assert entry == LogEntry("8", (EPOCH._replace(choosing=None, weights="raw"),), None)


def test_slices_are_open_until_they_have_a_result_or_others_are_decided(tmp_path):
    first = {"event": "round", "slices": [["4", 2], ["8", 3, "it is cheap"]]}
    folder = written(tmp_path, first)
    assert folder.read().open_round == [Planned("4", 2), Planned("8", 3, "it is cheap")]
    folder = written(tmp_path, first, slice_line())
    assert folder.read().open_round == [Planned("4", 2)]
    folder = written(tmp_path, first, slice_line(), {"event": "round", "slices": [["16", 1]]})
    assert folder.read().open_round == [Planned("16", 1)]


def test_the_last_ensemble_holds(tmp_path):
    folder = written(tmp_path, *({"event": "ensemble", "members": [size]} for size in ("4", "8")), slice_line())
    log = folder.read()
    assert log.ensemble == {"members": ["8"]}
    assert len(log.entries) == 1


def test_a_folder_without_a_log_holds_no_search(tmp_path):
    folder = SearchFolder(tmp_path)
    assert not folder.exists
    assert folder.read() is None
    (tmp_path / "log.jsonl").write_text('{"cut sho')
    assert folder.exists
    assert folder.read() is None


# Checkpoints


def test_a_new_checkpoint_replaces_the_one_before(tmp_path):
    folder, second = SearchFolder(tmp_path), NAME.replace("1.pt", "2.pt")
    folder.keep(replace(ENTRY, state=b"one"), None)
    assert folder.checkpoint(NAME) == b"one"
    folder.keep(replace(ENTRY, checkpoint=second, state=b"two"), NAME)
    assert folder.checkpoint(second) == b"two"
    assert not (tmp_path / NAME).exists()
    folder.keep(replace(ENTRY, checkpoint=second, state=b"more"), second)
    assert folder.checkpoint(second) == b"more"
    folder.keep(replace(ENTRY, checkpoint=None, state=None), NAME)  # (which is gone already)
    assert len(read_objects(tmp_path / "log.jsonl")) == 4


@pytest.mark.parametrize(("checkpoint", "state"), [(None, b"state"), (NAME, None)])
def test_a_slice_without_a_name_or_a_state_leaves_no_checkpoint(tmp_path, checkpoint, state):
    SearchFolder(tmp_path).keep(replace(ENTRY, checkpoint=checkpoint, state=state), None)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_checkpoint_that_cannot_be_written_has_no_line_and_the_one_before_stays(tmp_path):
    folder = SearchFolder(tmp_path)
    folder.keep(replace(ENTRY, state=b"one"), None)
    (tmp_path / "trials" / "other").touch()
    with pytest.raises(UsageError) as refusal:
        folder.keep(replace(ENTRY, checkpoint="trials/other/000002.pt", state=b"two"), NAME)
    assert str(refusal.value) == (
        f"the search's folder {tmp_path} cannot be written (File exists); make room or name another folder, and run "
        f"the same command again: it goes on where it stopped"
    )
    assert len(read_objects(tmp_path / "log.jsonl")) == 1
    assert folder.checkpoint(NAME) == b"one"


def test_a_checkpoint_that_is_gone_is_named(tmp_path):
    assert SearchFolder(tmp_path).checkpoint(None) is None
    with pytest.raises(UsageError) as refusal:
        SearchFolder(tmp_path).checkpoint(NAME)
    assert str(refusal.value) == (
        f"the search in {tmp_path} cannot go on: {NAME} cannot be read (No such file or directory); name another folder"
    )


def test_a_checkpoint_is_read_onto_the_device_that_goes_on():
    content = write_checkpoint({"model": {"weight": torch.ones(2)}, "epoch": 3})
    assert torch.equal(read_checkpoint(content)["model"]["weight"], torch.ones(2))
    assert read_checkpoint(content)["epoch"] == 3
    assert read_checkpoint(content, "meta")["model"]["weight"].is_meta


def test_a_checkpoint_that_would_run_code_is_not_read():
    with pytest.raises(UsageError) as refusal:
        read_checkpoint(write_checkpoint({"model": Path("x")}))
    assert str(refusal.value) == "a checkpoint of the search is damaged; remove the search's folder and start again"


# The folder


def test_a_search_that_is_forgotten_leaves_what_is_not_its_own(tmp_path):
    folder = SearchFolder(tmp_path / "search")
    folder.forget()
    assert not folder.path.exists()
    folder.path.mkdir()
    (folder.path / "notes.txt").touch()
    folder.append(HEADER)
    folder.forget()  # (before any trial)
    folder.append(HEADER)
    folder.keep(replace(ENTRY, state=b"one"), None)
    folder.forget()
    assert not folder.exists
    assert {path.name for path in folder.path.iterdir()} == {"notes.txt", "lock"}


def test_a_search_that_runs_is_not_forgotten(tmp_path):
    folder = SearchFolder(tmp_path)
    folder.append(HEADER)
    with folder.held(), pytest.raises(MeasurementError) as refusal:
        SearchFolder(tmp_path).forget()
    assert str(refusal.value) == f"another search is running in {tmp_path}; wait for it, or name another folder"
    folder.forget()
    assert not folder.exists


def test_a_folder_that_is_a_file_is_said_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file cannot be written \(File exists\); make room"):
        SearchFolder(tmp_path / "file").held().__enter__()


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, MeasurementError), (errno.EDQUOT, MeasurementError), (errno.EACCES, UsageError)],
)
def test_a_checkpoint_without_room_is_no_wrong_usage(tmp_path, monkeypatch, number, kind):
    def full(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(kind, match="cannot be written"):
        SearchFolder(tmp_path).keep(replace(ENTRY, state=b"one"), None)


# What is damaged


def refused(folder: SearchFolder) -> str:
    with pytest.raises(UsageError) as refusal:
        folder.read()
    start, end = f"{folder.path / 'log.jsonl'} is no log of a search, or is damaged (", "); name another folder"
    assert str(refusal.value).startswith(start)
    assert str(refusal.value).endswith(end)
    return str(refusal.value)[len(start) : -len(end)]


def test_a_log_of_another_format_is_refused(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"format": "sizer.search-log/9"}\n')
    assert refused(SearchFolder(tmp_path)) == "its first line is not of the format sizer.search-log/1"


@pytest.mark.parametrize(
    "change",
    [
        *({name: 3} for name in ("task", "device", "quantity", "first")),
        *({"settings": odd} for odd in (3, None, [["target", 0.1]])),
    ],
    ids=str,
)
def test_a_first_line_that_says_no_search_is_refused(tmp_path, change):
    (tmp_path / "log.jsonl").write_text(json.dumps({**HEADER, **change}) + "\n")
    assert refused(SearchFolder(tmp_path)) == "its first line does not say what is searched for"


@pytest.mark.parametrize("name", ["task", "device", "quantity", "first", "settings", "candidates"])
def test_a_first_line_that_lacks_something_is_refused(tmp_path, name):
    """It was read, and ended the search in a KeyError."""
    (tmp_path / "log.jsonl").write_text(json.dumps({key: HEADER[key] for key in HEADER if key != name}) + "\n")
    assert refused(SearchFolder(tmp_path)) == f"'{name}'"


def with_size(folder: Path, **changes: object) -> SearchFolder:
    header = {**HEADER, "candidates": [{"name": "8", **SIZE, **changes}]}
    (folder / "log.jsonl").write_text(json.dumps(header) + "\n")
    return SearchFolder(folder)


def test_a_size_may_say_what_makes_it_cache_aware_and_its_rate(tmp_path):
    folder = with_size(tmp_path, anchor=["weights", "L2", 0.5], relative_cost=2, learning_rate=0.01, multiple=4.0)
    assert folder.read().header["candidates"][0]["anchor"] == ["weights", "L2", 0.5]


@pytest.mark.parametrize(
    "change",
    [
        *({name: "x"} for name in ("epoch_cost", "flops_per_epoch", "relative_cost", "learning_rate", "multiple")),
        *({"name": 8}, {"widths": [8.0, 1]}, {"anchor": ["weights", "L2"]}, {"anchor": "abc"}, {"multiple": None}),
    ],
    ids=str,
)
def test_a_size_of_which_something_is_none_is_refused(tmp_path, change):
    size = {"name": "8", **SIZE, **change}
    assert refused(with_size(tmp_path, **change)) == f"no size: {str(size)[:80]}"


@pytest.mark.parametrize(
    "line", [slice_line(trial="9"), {"event": "round", "slices": [["9", 1]]}], ids=["slice", "round"]
)
def test_a_size_that_the_first_line_does_not_list_is_refused(tmp_path, line):
    """A decision on one ended the search in a KeyError."""
    assert refused(written(tmp_path, line)) == "its first line does not list 9"


def test_a_line_that_says_no_event_is_refused(tmp_path):
    assert refused(written(tmp_path, {"no": "event"})) == "'event'"


NO_EPOCHS = [
    *(list(EPOCH._replace(**{name: "1"})) for name in EPOCH._fields[:9]),
    *(list(EPOCH._replace(**{name: None})) for name in EPOCH._fields if name not in ("energy_j", "choosing")),
    list(EPOCH._replace(epoch=True)),
    list(EPOCH._replace(steps=1.5)),
    list(EPOCH._replace(metric=False)),
]


@pytest.mark.parametrize("values", NO_EPOCHS, ids=str)
def test_an_epoch_of_which_a_number_is_none_is_refused(tmp_path, values):
    assert refused(written(tmp_path, slice_line(epochs=[values]))) == f"no epoch: {str(values)[:80]}"


@pytest.mark.parametrize("epochs", [[[1, 0.5]], [[*EPOCH, 3]], [7], 7], ids=str)
def test_what_lists_no_epochs_is_refused(tmp_path, epochs):
    assert refused(written(tmp_path, slice_line(epochs=epochs)))


@pytest.mark.parametrize("name", ["trial", "checkpoint", "ended", "where", "parent"])
def test_a_slice_of_which_a_text_is_none_is_refused(tmp_path, name):
    said = refused(written(tmp_path, slice_line(**{name: list(range(50))})))
    assert said.startswith("no slice of a trial: {'trial': ")
    assert len(said) == len("no slice of a trial: ") + 80


@pytest.mark.parametrize(
    "elsewhere", ["trials/../000001.pt", "trials/a/1.pt/../../b", "../" * 40 + "mine.pt", "trials/a\\b/000001.pt"]
)
def test_a_checkpoint_elsewhere_is_named(tmp_path, elsewhere):
    assert refused(written(tmp_path, slice_line(checkpoint=elsewhere))) == f"a checkpoint elsewhere: {elsewhere[:80]}"


@pytest.mark.parametrize("slices", [[["4"]], [["4", 1.5]], [["4", 1, "why", 2]], [4], 4], ids=str)
def test_a_round_that_decides_on_no_slices_is_refused(tmp_path, slices):
    assert refused(written(tmp_path, {"event": "round", "slices": slices}))


# Whether it is the same search


def differing(header: dict, **asked: object) -> str:
    """What is said of a folder with that header to somebody who asks for something else."""
    with pytest.raises(UsageError) as refusal:
        check_same(header, SearchSettings(**{"target": 0.1, **asked}), "the data", Path("folder"))
    return str(refusal.value)


def test_a_folder_of_another_search_says_in_what_it_differs():
    header = {"settings": SearchSettings(target=0.1, learning_rate=0.01).to_dict(), "task": "the data"}
    check_same(header, SearchSettings(target=0.1, learning_rate=0.01, max_epochs=7), "the data", Path("folder"))
    other = "name another folder, or remove that one"
    assert differing(header, learning_rate=0.01, depth=5, seed=1) == (
        f"folder holds another search (it differs in depth, seed); {other}"
    )
    assert differing({**header, "task": "others"}, learning_rate=0.01) == (
        f"folder holds another search (it differs in data); {other}"
    )
    assert differing(header) == (
        f"folder holds another search (it differs in learning_rate); {other}, or go on with it by the learning rate "
        f"0.01"
    )
    assert differing(header, seed=1).endswith(other)


def test_a_search_of_an_earlier_release_is_the_same_where_it_noted_less():
    """It pinned no widths, and a setting that there was not yet had the value that is asked for now."""
    header = {"settings": {"target": 0.1}, "task": "the data"}
    check_same(header, SearchSettings(target=0.1, ensemble=3), "the data", Path("folder"))
    assert "differs in widths" in differing(header, widths=(8,))


def small_task(**changes: object) -> Task:
    rows = {name: np.zeros((4, 2), np.float32) for name in ("train_features", "validation_features")}
    rows |= {name: np.zeros((4, 1), np.float32) for name in ("train_targets", "validation_targets")}
    return Task(**{"name": "t", "kind": "regression", "output_dim": 1, **rows, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"name": "u"},
        {"metric": "r2"},
        {"output_dim": 2},
        {"train_features": np.ones((4, 2), np.float32)},
        {"train_targets": np.ones((4, 1), np.float32)},
        {"validation_features": np.ones((4, 2), np.float32)},
        {"validation_targets": np.ones((4, 1), np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_data_have_another_fingerprint(change):
    assert fingerprint(small_task()) == fingerprint(small_task())
    assert fingerprint(small_task(**change)) != fingerprint(small_task())


def test_the_fingerprint_of_a_task_stays_what_it_was():
    """Logs of earlier releases hold it, and go on."""
    own = CustomTask("own", lambda *_: iter(()), 7, 3, 600)
    assert fingerprint(own) == hashlib.sha256(b"own loss 7 3").hexdigest()
    assert fingerprint(small_task()) == hashlib.sha256(b"t loss 2 1" + bytes(4 * (8 + 4 + 8 + 4))).hexdigest()
