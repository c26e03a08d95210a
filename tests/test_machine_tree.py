"""Reading beneath a root: links, loops, damage, size."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from machines import CPU, server, write

from sizer.detection.captured_tree import Tree
from sizer.detection.linux import read_cpu


@pytest.fixture
def outside(tmp_path):
    """A folder beside the root with a file that must never be read."""
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "value").write_text("leaked")
    return secret


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "sys").mkdir(parents=True)
    return tmp_path / "root"


def test_absolute_links_stay_beneath_the_root(root, outside):
    (root / "sys" / "file").symlink_to(outside / "value")
    (root / "sys" / "folder").symlink_to(outside)
    tree = Tree(root)
    assert tree.text("/sys/file") is None
    assert tree.text("/sys/folder/value") is None
    assert tree.names("/sys/folder") == ()
    assert not tree.exists("/sys/folder")


def test_a_listing_does_not_vouch_for_links(root, outside):
    (root / "sys" / "folder").symlink_to(outside)
    tree = Tree(root)
    assert tree.names("/sys") == ("folder",)
    assert tree.text("/sys/folder/value") is None


def test_no_tangle_of_links_leads_out_or_breaks(root, outside):
    choose = random.Random(1).choice  # noqa: S311
    names = [f"{letter}" for letter in "abcdef"]
    targets = [
        "..",
        ".",
        "/",
        *names,
        *(f"/sys/{name}" for name in names),
        str(outside),
        f"../../{outside.name}",
        "../" * 9,
    ]
    for name in names:
        (root / "sys" / name).mkdir()
        for link in names:
            pieces = [choose(targets) for _ in range(choose((1, 2, 3)))]
            (root / "sys" / name / link).symlink_to("/".join(pieces))
    tree = Tree(root)
    for _ in range(500):
        folder = "/sys/" + "/".join(choose(names) for _ in range(choose((1, 2, 3, 6))))
        tree.names(folder)
        assert tree.text(f"{folder}/value") is None


def test_a_link_to_sys_means_the_captures_own(root):
    write(root, "sys/devices/value", "mine")
    (root / "sys" / "link").symlink_to("/sys/devices/value")
    (root / "sys" / "folder").symlink_to("/sys/devices")
    tree = Tree(root)
    assert tree.word("/sys/link") == "mine"
    assert tree.word("/sys/folder/value") == "mine"
    assert tree.names("/sys/folder") == ("value",)


def test_relative_links_cannot_climb_out(root, outside):
    (root / "sys" / "up").symlink_to("../../outside/value")
    (root / "sys" / "far").symlink_to("../" * 30 + "etc/passwd")
    write(root, "outside/value", "the root's own")
    tree = Tree(root)
    assert tree.word("/sys/up") == "the root's own"  # as after a chroot, where .. of / is /
    assert tree.text("/sys/far") is None


def test_relative_links_within_the_root_work(root):
    write(root, "sys/a/b/value", "here")
    (root / "sys" / "a" / "link").symlink_to("../a/b")
    assert Tree(root).word("/sys/a/link/value") == "here"


def test_circles_of_links_read_as_absent(root):
    (root / "sys" / "one").symlink_to("two")
    (root / "sys" / "two").symlink_to("one")
    (root / "sys" / "self").symlink_to("self/deeper")
    tree = Tree(root)
    for path in ("/sys/one", "/sys/two/x", "/sys/self", "/sys/self/a/b"):
        assert tree.text(path) is None
        assert tree.names(path) == ()


def test_long_chains_and_deep_targets_end(root):
    for number in range(100):
        (root / "sys" / f"link{number}").symlink_to(f"link{number + 1}")
    write(root, "sys/link100", "too far")
    (root / "sys" / "deep").symlink_to("x/" * 1500)
    tree = Tree(root)
    assert tree.text("/sys/link0") is None
    assert tree.text("/sys/deep") is None


def test_a_fifo_does_not_block(root):
    os.mkfifo(root / "sys" / "pipe")
    assert not Tree(root).word("/sys/pipe")


def test_a_folder_and_a_missing_file_read_as_absent(root):
    tree = Tree(root)
    assert tree.text("/sys") is None
    assert tree.text("/sys/nothing") is None
    assert tree.text("/sys/\0") is None


def test_reading_is_bounded_and_takes_any_bytes(root):
    (root / "sys" / "huge").write_bytes(b"\xff\x00" * (1 << 20))
    text = Tree(root).text("/sys/huge")
    assert text is not None
    assert len(text) <= 4096


def test_files_without_permission_read_as_absent(root):
    write(root, "sys/closed", "secret")
    (root / "sys" / "closed").chmod(0)
    if os.access(root / "sys" / "closed", os.R_OK):
        pytest.skip("this user may read everything")
    assert Tree(root).text("/sys/closed") is None


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("-1", -1), (" 7\n", 7), ("1_0", None), ("٣", None), ("", None)]
)
def test_integers(root, text, number):
    write(root, "sys/number", text)
    assert Tree(root).integer("/sys/number") == number


def test_a_machine_of_damaged_files_is_still_a_machine(tmp_path):
    server(tmp_path)
    for number, file in enumerate(sorted(path for path in tmp_path.rglob("*") if path.is_file())):
        file.write_bytes((b"", b"\x00" * 9000, b"\xff\xfe garbage \x80", b"-1", b"99999999999999999999")[number % 5])
    cpu = read_cpu(Tree(tmp_path))
    assert cpu.levels[-1].name == "RAM"
    assert all(level.capacity_bytes != 0 for level in cpu.levels)


def test_a_cache_folder_that_links_to_the_running_machine_does_not_show_it(tmp_path):
    server(tmp_path)
    for cpu in range(8):
        folder = tmp_path / f"{CPU}/cpu{cpu}/cache"
        folder.rename(folder.with_name("gone"))
        folder.symlink_to(Path(f"/sys/devices/system/cpu/cpu{cpu}/cache"))
    assert [level.name for level in read_cpu(Tree(tmp_path)).levels] == ["RAM"]
