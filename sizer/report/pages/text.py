"""Text from records as HTML: everything escaped, what cannot be seen made visible, labels and code set apart."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from sizer.base.visible import visible

#: What numbers are called by how they came about; each has a colour of its own beside the word.
LABELS = ("measured", "calibrated", "published", "estimated")
#: A label where it says what a number is, ``3 us, calibrated``, and not where it is a word of a sentence.
_LABEL = re.compile(rf"(?:(?<=^)|(?<=[,:(] )|(?<=\()|(?<=time ))(?:{'|'.join(LABELS)})(?=$|[,.;:)]| \()")
_CODE = re.compile(r"`([^`\n]{1,200})`")


def told(text: object) -> Markup:
    """A sentence: commands in backquotes as code, labels in their colour."""
    parts = _CODE.split(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else _labelled(part) for index, part in enumerate(parts)
    )


def _labelled(text: str) -> Markup:
    found, end = Markup(), 0
    for match in _LABEL.finditer(text):
        found += escape(text[end : match.start()]) + label(match.group())
        end = match.end()
    return found + escape(text[end:])


def label(word: str) -> Markup:
    """A label in words and in its colour."""
    return Markup('<span class="label {0}">{0}</span>').format(word) if word in LABELS else escape(word)


def labels(words: str | None) -> Markup:
    """Labels joined by ``and``, as charts have them."""
    return Markup(" and ").join(label(word) for word in words.split(" and ")) if words else Markup()
