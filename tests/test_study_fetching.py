"""Downloads against a real local server: resumed by range, broken off, changed, damaged, unpacked safely."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sizer.base.errors import MeasurementError, UsageError
from sizer.cli import run
from sizer.study.files import fetch as downloading
from sizer.study.files.fetch import ask, catalogue, download, fetch, known_sums, unpack, wanted

CONTENT = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``cut`` ends each answer after so many bytes; ``ranges`` are those that were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"node_sinfo.csv": CONTENT}
        self.cut: int | None = None
        self.cuts_left = 10**6
        self.has_ranges = True
        self.version = '"one"'
        self.ranges: list[str | None] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        self._answer(True)

    def _answer(self, with_body: bool) -> None:
        content = self.server.files.get(self.path.lstrip("/"))
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        since = 0
        if asked and self.server.has_ranges and self.headers.get("If-Range") == self.server.version:
            since = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {since}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - since))
        self.send_header("ETag", self.server.version)
        self.end_headers()
        if not with_body:
            return
        body = content[since:]
        if self.server.cut is not None and self.server.cuts_left > 0:
            self.server.cuts_left -= 1
            body = body[: self.server.cut]
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloading.time, "sleep", lambda seconds: None)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    serving = Server()
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield serving
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_a_file_arrives_whole_and_its_checksum_is_noted(server, tmp_path):
    path = tmp_path / "new" / "node_sinfo.csv"
    found = download(f"{server.base}/node_sinfo.csv", path)
    assert path.read_bytes() == CONTENT
    assert found == hashlib.sha256(CONTENT).hexdigest()
    assert known_sums(path.parent) == {"node_sinfo.csv": found}
    assert sorted(file.name for file in path.parent.iterdir()) == ["SHA256SUMS", "node_sinfo.csv"]


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.cut, server.cuts_left = 300_000, 3
    path = tmp_path / "node_sinfo.csv"
    download(f"{server.base}/node_sinfo.csv", path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_connection_that_keeps_breaking_keeps_what_came(server, tmp_path):
    server.cut = 100
    path = tmp_path / "node_sinfo.csv"
    with pytest.raises(MeasurementError, match=r"broke 4 times .* 400 bytes are kept"):
        download(f"{server.base}/node_sinfo.csv", path)
    assert not path.exists()
    server.cut = None
    download(f"{server.base}/node_sinfo.csv", path)
    assert server.ranges[-1] == "bytes=400-"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["version", "no ranges"])
def test_a_part_of_another_version_is_not_joined(server, tmp_path, change):
    server.cut = 1000
    path = tmp_path / "node_sinfo.csv"
    with pytest.raises(MeasurementError):
        download(f"{server.base}/node_sinfo.csv", path)
    server.cut = None
    if change == "version":
        server.version, server.files["node_sinfo.csv"] = '"two"', CONTENT[::-1]
    else:
        server.has_ranges = False
    download(f"{server.base}/node_sinfo.csv", path)
    assert path.read_bytes() == server.files["node_sinfo.csv"]


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    path = tmp_path / "node_sinfo.csv"
    with pytest.raises(MeasurementError, match=r"has the SHA-256 .* expected 00"):
        download(f"{server.base}/node_sinfo.csv", path, sha256="00" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_noted_checksum_is_held_against_a_later_download(server, tmp_path):
    path = tmp_path / "node_sinfo.csv"
    download(f"{server.base}/node_sinfo.csv", path)
    path.unlink()
    server.files["node_sinfo.csv"] = b"something else"
    with pytest.raises(MeasurementError, match="expected"):
        download(f"{server.base}/node_sinfo.csv", path)


def test_addresses_that_cannot_be(server, tmp_path):
    with pytest.raises(MeasurementError, match="HTTP 404"):
        ask(f"{server.base}/nothing")
    with pytest.raises(UsageError, match="https://"):
        ask("file:///etc/passwd")
    with pytest.raises(UsageError, match="unknown file x; expected all"):
        wanted(["x"], server.base)
    with pytest.raises(MeasurementError, match="does not answer"):
        wanted(["node_sinfo.csv"], "http://127.0.0.1:9")


def test_what_is_there_is_not_downloaded_again(server, tmp_path):
    items = wanted(["node_sinfo.csv"], server.base)
    assert items[0].bytes == len(CONTENT)
    assert fetch(tmp_path, items).table[0]["how"] == "downloaded"
    assert fetch(tmp_path, items).table[0]["how"] == "was there"
    (tmp_path / "node_sinfo.csv").write_bytes(b"damaged")
    assert fetch(tmp_path, items).table[0]["how"] == "downloaded"
    assert len(server.ranges) == 2


def test_a_damaged_zip_file_is_named(server, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.csv", "timestamp,node,watts\n" * 500)
    server.files["butter_e_energy.zip"] = stream.getvalue()[:-30]
    with pytest.raises(MeasurementError, match=r"butter_e_energy\.zip is no complete zip file"):
        fetch(tmp_path, wanted(["butter_e_energy.zip"], server.base))


def test_unpacking_stays_inside_the_folder(tmp_path):
    archive = tmp_path / "summary_by_epoch.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("summary_by_epoch/dataset=a/part-0.parquet", "../outside", "/absolute", "a/../../up", "C:\\x"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    left_out = unpack(archive, tmp_path / "summary_by_epoch")
    assert left_out == ["../outside", "/absolute", "a/../../up", "C:\\x", "link"]
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(found) == sorted([archive, tmp_path / "summary_by_epoch" / "dataset=a" / "part-0.parquet"])


def test_a_truncated_tar_leaves_no_folder(tmp_path):
    archive = tmp_path / "summary_by_epoch.tar"
    with tarfile.open(archive, "w") as tar:
        entry = tarfile.TarInfo("a")
        entry.size = 100_000
        tar.addfile(entry, io.BytesIO(bytes(100_000)))
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(MeasurementError, match="no complete tar file"):
        unpack(archive, tmp_path / "summary_by_epoch")
    assert list(tmp_path.iterdir()) == [archive]


def test_the_command_shows_the_licence_and_needs_it_accepted(server, tmp_path, capfd):
    command = ["study", "fetch", str(tmp_path), "--file", "node_sinfo.csv", "--base", server.base]
    assert run(command) == 2
    told = capfd.readouterr().err
    assert "CC-BY-4.0" in told
    assert "1000 KiB" in told
    assert "--yes" in told
    assert server.ranges == []
    assert run([*command, "--yes", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["rows_out"] == 1


def test_the_catalogue_names_what_the_reader_looks_for():
    from sizer.study.files.schema import ALL

    assert {name for source in ALL for name in source.names} >= set(catalogue()["files"])
