"""Checkpoints as bytes: what torch writes, read back as tensors and plain values only, never as pickled objects."""

from __future__ import annotations

import io
from typing import Any

import torch

from sizer.errors import UsageError


def write_checkpoint(state: dict[str, Any]) -> bytes:
    """A dictionary of tensors, numbers and text, nested as one likes, as bytes."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def read_checkpoint(checkpoint: bytes, device: str = "cpu") -> dict[str, Any]:
    """The tensors and numbers of a checkpoint. Raises UsageError for bytes that are none."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), map_location=device, weights_only=True)
    except Exception as error:
        raise UsageError("a checkpoint of the search is damaged; remove the search's folder and start again") from error
    return state
