"""Inspected modules against what PyTorch really does, and against the closed forms."""

from __future__ import annotations

import time

import pytest
import torch
from architectures import ARCHITECTURES, Convolutional, LanguageModel, mlp, real_step
from torch import nn
from torch.utils._pytree import tree_map

import sizer
from sizer.inspection.counts import StepSettings, count
from sizer.inspection.tracing import trace_step
from sizer.models.topology import Topology


def meta(tree):
    return tree_map(
        lambda leaf: torch.empty_like(leaf, device="meta") if isinstance(leaf, torch.Tensor) else leaf, tree
    )


def counted(counts):
    layers = counts.layers
    flops = [sum(getattr(layer.flops, name) for layer in layers) for name in ("forward", "backward")]
    return (*flops, sum(layer.saved_bytes for layer in layers))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_flops_and_saved_bytes_equal_a_real_step(name):
    make, inputs, autocast = ARCHITECTURES[name]
    module, args = make(), tuple(each() for each in inputs)
    if name == "lstm":
        torch.backends.mkldnn.set_flags(False)  # oneDNN's workspace is known to that library alone: see the test below
    try:
        found = counted(count(module, StepSettings(meta(args), {}, None, autocast)))
        assert found == real_step(module, (args, {}), autocast)
    finally:
        torch.backends.mkldnn.set_flags(True)


def test_an_unknown_workspace_is_said():
    record = sizer.inspect(ARCHITECTURES["lstm"][0](), torch.empty(3, 7, 10))
    assert any("workspace" in note for note in record.notes)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu", "identity"])
@pytest.mark.parametrize("shape", ["rectangle", "rectangle_residual", "wide_first_4x"])
@pytest.mark.parametrize("loss", [None, "mse"])
def test_closed_forms_equal_the_trace(activation, shape, loss):
    from sizer.inspection.losses import as_loss

    module = Topology.of_first_width(shape, 24, 5, 10, 3).build(activation)
    settings = StepSettings((torch.empty(16, 10, device="meta"),), {}, as_loss(loss))
    counts = count(module, settings)
    trace = trace_step(module, settings.args, {}, settings.loss)
    assert counts.topology is not None
    traced = [(layer.flops_forward, layer.flops_backward, layer.saved_bytes) for layer in trace.layers.values()]
    assert counted(counts) == tuple(map(sum, zip(*traced, strict=True)))
    assert max(layer.transfer_bytes for layer in counts.layers) == max(
        layer.transfer_bytes for name, layer in trace.layers.items()
    )


def test_a_network_is_inspected_as_its_widths_are(small_cpu):
    module = mlp(784, 512, 512, 10)
    for optimizer, name in (
        (torch.optim.Adam(module.parameters(), fused=True), "adam"),
        (torch.optim.SGD(module.parameters(), fused=True), "sgd"),
    ):
        record = sizer.inspect(module, 256, optimizer=optimizer)
        network = sizer.inspect("784-512-512-10", optimizer=name).networks[0]
        assert record.working_sets == network.working_sets
        assert (record.flops, record.operations) == (network.flops, network.operations)
        assert record.time_per_step_s == network.time_per_step_s
        assert record.energy_per_step_j == network.energy_per_step_j
        assert record.outside is None


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p),
        lambda p: torch.optim.Adam(p, amsgrad=True),
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.RMSprop(p, momentum=0.5),
        lambda p: torch.optim.Adagrad(p),
        lambda p: torch.optim.NAdam(p),
        lambda p: torch.optim.Adamax(p),
    ],
)
def test_optimizer_state_equals_that_after_a_step(make):
    module = mlp(10, 16, 4)
    optimizer = make(module.parameters())
    predicted = sizer.inspect(module, 8, optimizer=optimizer).optimizer_state_bytes
    assert not optimizer.state or isinstance(optimizer, torch.optim.Adagrad)
    module(torch.randn(8, 10)).sum().backward()
    optimizer.step()
    held = [
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.dim() > 0
    ]
    assert predicted == sum(held)


def test_inspecting_leaves_module_and_random_states_alone():
    import random

    import numpy as np

    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls, self.seen = nn.Linear(4, 4), 0, None

        def forward(self, x):
            self.calls += 1
            self.seen = x
            scale = random.random() + np.random.rand() + torch.rand(())  # noqa: S311
            return nn.functional.dropout(self.layer(x)) * scale

    module = Drawing()
    module.register_forward_hook(lambda *_: pytest.fail("a user's hook ran"))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    sizer.inspect(module, torch.randn(2, 4, device="meta"))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert (module.calls, module.seen, module.layer.weight.grad) == (0, None, None)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in weights.items())


def test_a_huge_module_is_inspected_without_memory():
    with torch.device("meta"):
        module = nn.Sequential(*(nn.TransformerEncoderLayer(8192, 64, 28672, batch_first=True) for _ in range(4)))
    started = time.perf_counter()
    record = sizer.inspect(module, torch.empty(1, 2048, 8192, device="meta"))
    assert record.num_parameters > 2.9e9
    assert time.perf_counter() - started < 30
    assert record.saved_activation_bytes > 2**32


def test_frozen_layers_have_neither_gradient_nor_state():
    module = ARCHITECTURES["frozen layer"][0]()
    record = sizer.inspect(module, 8)
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert (record.num_trainable_parameters, record.gradient_bytes) == (trained, 4 * trained)
    assert record.optimizer_state_bytes == 8 * trained
    assert record.outside is not None


def test_shared_parameters_count_once():
    module = LanguageModel()
    record = sizer.inspect(module, torch.zeros(2, 9, dtype=torch.int64))
    assert record.num_parameters == sum(p.numel() for p in module.parameters())


def test_layers_add_up_and_are_named():
    record = sizer.inspect(Convolutional(), torch.empty(4, 3, 16, 16))
    assert record.flops.forward == sum(layer.flops.forward for layer in record.layers) > 0
    assert [layer.kind for layer in record.layers][:2] == ["Conv2d", "BatchNorm2d"]
    assert record.layers[0].output_shape == (4, 8, 16, 16)


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["gpt2", "bert", "vit", "llama", "t5"])
def test_third_party_models_equal_a_real_step(name):
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    tokens = torch.randint(0, 40, (2, 11))
    made = {
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=40)
        ),
        "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=40, **small)),
        "vit": lambda: transformers.ViTForImageClassification(
            transformers.ViTConfig(image_size=32, patch_size=8, **small)
        ),
        "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=40, **small)),
        "t5": lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=40, d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8, decoder_start_token_id=0
            )
        ),
    }
    inputs = {
        "vit": {"pixel_values": torch.randn(2, 3, 32, 32)},
        "t5": {"input_ids": tokens, "labels": tokens},
        "gpt2": {"input_ids": tokens, "labels": tokens},
    }.get(name, {"input_ids": tokens})
    module = made[name]().train()
    record = sizer.inspect(module, inputs)
    found = record.flops.forward, record.flops.backward, record.saved_activation_bytes
    assert found == real_step(module, ((), inputs), None)


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224", "mixer_s32_224"]
)
def test_timm_models_equal_a_real_step(name):
    timm = pytest.importorskip("timm")
    module = timm.create_model(name, pretrained=False, num_classes=10).train()
    images = torch.randn(2, 3, 224, 224)
    record = sizer.inspect(module, images)
    found = record.flops.forward, record.flops.backward, record.saved_activation_bytes
    assert found == real_step(module, ((images,), {}), None)
