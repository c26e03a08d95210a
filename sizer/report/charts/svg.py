"""Elements of SVG as safe text, how much room a text takes, and texts that do not lie on one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from markupsafe import Markup, escape

from sizer.base.visible import visible

#: Height of the letters of every text, in units of the picture, and of a line of it.
FONT = 12.0
LINE = 15.0
#: Widths of letters over their height in DejaVu Sans, the widest of the usual fonts, so that no text needs more room
#: than it was given; other letters are as wide as the widest small ones.
_NARROWEST = 0.4
_NARROW = dict.fromkeys("ijl.,:;|'!I() []-/f", _NARROWEST) | dict.fromkeys("mwMW%@", 0.98)
_USUAL = 0.64


def element(name: str, *children: str, **attributes: object) -> Markup:
    """An element. Attributes lose a final underscore, others become dashes; None leaves one out; text is escaped."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), number(value))
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(child if isinstance(child, Markup) else escape(visible(child)) for child in children)
    return Markup("<{0}{1}>{2}</{0}>" if inside else "<{0}{1}/>").format(name, written, inside)  # noqa: S704 (constants)


def number(value: object) -> object:
    """A length with one digit, which is a tenth of a pixel; anything else as it is."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def text_width(text: str, font: float = FONT) -> float:
    """Room that a text takes at most, in units of the picture."""
    return font * sum(_NARROW.get(letter, _USUAL) if letter.isascii() else 1.0 for letter in text)


def cut(text: str, room: float) -> str:
    """A text that fits, its end cut off if need be; nothing where not even four letters fit."""
    text = text[: max(int(room / (FONT * _NARROWEST)), 0) + 1]  # (names may have any length)
    if text_width(text) <= room:
        return text
    while len(text) > 3 and text_width(f"{text}...") > room:
        text = text[:-1]
    return f"{text}..." if len(text) > 3 and text_width(f"{text}...") <= room else ""


def lines_of(text: str, room: float) -> list[str]:
    """A text broken at its spaces into lines that fit, so many of them at most."""
    lines = [""]
    for word in text.split(maxsplit=_WORDS)[:_WORDS]:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer) > room:
            lines.append(cut(word, room))
        else:
            lines[-1] = longer if text_width(longer) <= room else cut(longer, room)
    return lines


#: Words of a text that is told: more than any has that was not made to have more.
_WORDS = 60


class Box(NamedTuple):
    """Where a text stands: left, top, right, bottom."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, text: str, x: float, y: float, anchor: str = "middle") -> Box:
        """The box of a text whose base line is at y."""
        width = text_width(text)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        return cls(left, y - FONT, left + width, y + FONT * 0.25)

    def meets(self, other: Box) -> bool:
        """Whether they share any room."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Labels:
    """Texts of a picture that keep clear of one another and inside ``bounds``."""

    def __init__(self, bounds: Box) -> None:
        self._bounds = bounds
        self._taken: list[Box] = []

    def take(self, box: Box) -> None:
        """Keep texts off a box."""
        self._taken.append(box)

    def place(self, text: str, places: Iterable[tuple[float, float, str]]) -> tuple[float, float, str] | None:
        """The first of the places (x, base line, anchor) where the text is free; None where there is none."""
        for x, y, anchor in places:
            box = Box.of(text, x, y, anchor)
            if self._inside(box) and not any(box.meets(other) for other in self._taken):
                self._taken.append(box)
                return x, y, anchor
        return None

    def draw(self, text: str, places: Iterable[tuple[float, float, str]], class_: str) -> Iterator[Markup]:
        """The text at the first free place, if there is one."""
        placed = self.place(text, places)
        if placed is not None:
            x, y, anchor = placed
            yield element("text", text, x=x, y=y, text_anchor=anchor, class_=class_)

    def _inside(self, box: Box) -> bool:
        bounds = self._bounds
        across = bounds.left <= box.left and box.right <= bounds.right
        return across and bounds.top <= box.top and box.bottom <= bounds.bottom
