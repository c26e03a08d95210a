"""What pages need on the site: README as the first, links that it can follow, the examples of commands as code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

#: Files of the repository that pages link to and the site does not hold.
_ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page's text with links that the site can follow."""
    if page.file.src_uri == "index.md":
        markdown = (_ROOT / "README.md").read_text(encoding="utf-8")
        markdown = markdown.replace("](docs/", "](")
        return re.sub(
            r"\[([^\]]+)\]\((?!https?:)(?![\w-]+\.(?:md|png)|#)[^)]+\)|\[([A-Z_]+\.md)\]\([^)]+\)", _plain, markdown
        )
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", _plain, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """The page with the examples of the commands' help, lines that begin with ``sizer``, as code."""
    return re.sub(r"<p>((?:sizer [^\n<]*\n?)+)</p>", r"<pre><code>\1</code></pre>", html)


def _plain(match: re.Match[str]) -> str:
    """A link's text without its link."""
    return next(text for text in match.groups() if text is not None)
