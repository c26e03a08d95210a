"""Records as HTML for a notebook: what the terminal shows, in a fixed-width block."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sizer.records import Record


def as_html(record: Record) -> str:
    """The record's terminal text as an HTML fragment."""
    from rich.console import Console

    console = Console(record=True, width=100, file=io.StringIO(), highlight=False, force_jupyter=False)
    console.print(record)
    return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.2"><code>{code}</code></pre>')
