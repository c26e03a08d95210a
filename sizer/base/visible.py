"""Text of others, such as names in tables and files, shown so that nothing in it steers a terminal or reorders text."""

from __future__ import annotations

#: Categories of characters that steer a terminal, reorder text or stand for nothing: shown by their number.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: object) -> str:
    """Text with characters that cannot be seen, or would reorder others, by their number: ``\\u202e``."""
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(letter if _is_seen(letter) else _escaped(letter) for letter in plain)


def _is_seen(letter: str) -> bool:
    if letter.isascii():
        return letter.isprintable()
    from unicodedata import category  # only here: most text is ASCII, and a start may not wait for it

    return category(letter) not in _UNSEEN


def _escaped(letter: str) -> str:
    if letter in "\n\t":
        return " "
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
