"""A Ray cluster of node processes on loopback addresses, for tests and benchmarks; it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

START_S = 180.0


class Nodes:
    """Node processes: 127.0.0.2 is the head, 127.0.0.3 the other (Ray would rewrite 127.0.0.1)."""

    def __init__(self, folder: Path, cpus: int = 1) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
            self.address = f"127.0.0.2:{probe.getsockname()[1]}"
        self._folder = folder
        self._cpus = cpus
        port = self.address.partition(":")[2]
        head = ["--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false"]
        self._commands = [
            [*head, "--disable-usage-stats", f"--temp-dir={folder}"],
            [f"--address={self.address}", "--node-ip-address=127.0.0.3"],
        ]
        self.processes = [self._start(self._commands[0])]
        self._wait_for_head()
        self.processes.append(self._start(self._commands[1]))

    def restart_what_ended(self) -> None:
        """Start nodes again that gave up on a busy machine."""
        for index, process in enumerate(self.processes):
            if process.poll() is not None:
                self.kill(index)
                self.processes[index] = self._start(self._commands[index])

    @property
    def log(self) -> str:
        """What the nodes said."""
        return (self._folder / "nodes.log").read_text(errors="replace")[-3000:]

    def kill(self, index: int) -> None:
        """Kill a node at once, with everything that it started."""
        process = self.processes[index]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)

    def close(self) -> None:
        """Kill every node."""
        for index in reversed(range(len(self.processes))):
            self.kill(index)

    def _start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--num-cpus={self._cpus}"]
        command += ["--num-gpus=0", "--object-store-memory=100000000", *arguments]
        # Memory of other programs must not make Ray kill workers here.
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_memory_monitor_refresh_ms": "0"}
        # Nodes are started before a test's own user is: they get one of their own, so that they touch nobody's files.
        environment |= {"HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder / "data")}
        environment |= {"XDG_CACHE_HOME": str(self._folder / "cache"), "XDG_CONFIG_HOME": str(self._folder / "config")}
        with (self._folder / "nodes.log").open("ab") as log:
            return subprocess.Popen(
                command, env=environment, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
            )

    def _wait_for_head(self) -> None:
        host, _, port = self.address.partition(":")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.2)
        raise TimeoutError(self.log)


@contextmanager
def two_nodes(cpus: int = 1) -> Iterator[tuple[Nodes, Any]]:
    """A running cluster of two nodes, and the ray package connected to it."""
    from sizer.base.ray_cluster import import_ray

    ray = import_ray()
    folder = Path(tempfile.mkdtemp(prefix="r"))  # (Ray's sockets lie in it, and their paths may have 107 characters)
    nodes = None
    try:
        nodes = Nodes(folder, cpus)
        _connect(ray, nodes)
        yield nodes, ray
    finally:
        ray.shutdown()
        if nodes is not None:
            nodes.close()
        shutil.rmtree(folder, ignore_errors=True)


def _connect(ray: Any, nodes: Nodes) -> None:
    """Connect once both nodes have joined."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            if not ray.is_initialized():
                ray.init(
                    address=nodes.address, _node_ip_address="127.0.0.2", log_to_driver=False, logging_level="ERROR"
                )
            if sum(node["Alive"] for node in ray.nodes()) >= 2:
                return
        except (ConnectionError, RuntimeError, ValueError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"two nodes did not join {nodes.address}: {nodes.log}")
        nodes.restart_what_ended()
        time.sleep(0.3)
