"""What a training step keeps for each parameter and activation, and the names that people have for it."""

from __future__ import annotations

import pytest

from sizer.method.training_step import DTYPES, OPTIMIZER_MOMENTS, Training, _uniform, known_as


@pytest.mark.parametrize(
    ("dtype", "activation", "forward", "backward", "master"),
    [
        ("float32", 4, 4, 8, 4),
        ("float64", 8, 8, 16, 8),
        ("bfloat16", 2, 2, 4, 2),
        ("float16", 2, 2, 4, 2),
        ("mixed", 2, 2, 6, 4),
    ],
)
def test_bytes_of_an_element_by_what_it_is(dtype, activation, forward, backward, master):
    """Backward holds parameters and gradients; with mixed precision 2-byte copies and float32 gradients."""
    assert DTYPES[dtype] == (dtype, activation, forward, backward, master)
    assert Training(dtype=dtype).element is DTYPES[dtype]
    assert DTYPES[dtype].data_bytes == master


def test_a_type_of_one_size_keeps_that_of_each_and_twice_that_for_the_backward_pass():
    assert _uniform("float24", 3) == ("float24", 3, 3, 6, 3)


@pytest.mark.parametrize(("optimizer", "moments"), [("adam", 2), ("adamw", 2), ("sgd", 0), ("sgd-momentum", 1)])
def test_moments_that_an_optimizer_keeps(optimizer, moments):
    assert Training(optimizer=optimizer).moments == moments


@pytest.mark.parametrize(
    ("value", "known", "meant"),
    [
        (" FP32 ", DTYPES, "float32"),
        ("torch.float16", DTYPES, "float16"),
        ("torch.half", DTYPES, "float16"),
        ("bf16", DTYPES, "bfloat16"),
        ("double", DTYPES, "float64"),
        ("AMP", DTYPES, "mixed"),
        ("SGD_Momentum", OPTIMIZER_MOMENTS, "sgd-momentum"),
        ("torch.optim.AdamW", OPTIMIZER_MOMENTS, "adamw"),
        ("sgd-m", OPTIMIZER_MOMENTS, "sgd-momentum"),
        ("Predict", ("training", "inference"), "inference"),
        ("rectangle-residual", ("rectangle", "rectangle_residual"), "rectangle_residual"),
        ("fp32", OPTIMIZER_MOMENTS, None),  # (a name of something else)
        ("lion", OPTIMIZER_MOMENTS, None),
        ("", DTYPES, None),
        (None, DTYPES, None),
        (32, DTYPES, None),
    ],
)
def test_names_as_people_and_frameworks_have_them(value, known, meant):
    assert known_as(value, known) == meant
    assert known_as(value, iter(known)) == meant
