"""`sizer detect`: the memory hierarchy of this machine, or of a captured one."""

from __future__ import annotations

import click

from sizer.cli.options import JSON


@click.command()
@click.option("--sysroot", metavar="DIR", help="Read the proc and sys of another Linux machine beneath DIR instead.")
@click.option("--fresh", is_flag=True, help="Read the hardware again, not the kept result.")
@JSON
def detect(sysroot: str | None, fresh: bool, as_json: bool) -> None:
    """Show the memory hierarchy: caches, RAM and GPUs, one instance of each level, and where each value is from.

    Sizes are of one instance; "instances" counts those that the CPUs this process may use touch. The result is kept
    until the hardware, the CPU affinity or the limits of the control group change.

    \b
    sizer detect
    sizer detect --fresh --json
    sizer detect --sysroot captures/dual-epyc
    """
    from sizer.cli.output import show
    from sizer.detection.detect import detect as detect_machine

    show(detect_machine(sysroot, fresh), as_json)
