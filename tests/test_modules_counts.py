"""Inspected modules against what PyTorch really does, and against the closed forms."""

from __future__ import annotations

import dataclasses
import time
import types
import warnings

import pytest
import torch
from architectures import ARCHITECTURES, Convolutional, LanguageModel, mlp, real_step
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.checkpoint import checkpoint

import sizer
from sizer.base.errors import UsageError
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
    from sizer.inspection.checks import as_loss

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


class Checkpointed(nn.Module):
    """Blocks whose inside is computed again in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.reentrant, self.first, self.last = reentrant, nn.Linear(16, 16), nn.Linear(16, 2)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16)) for _ in range(3))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + (block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant))
        return self.last(x)


@pytest.mark.parametrize("reentrant", [None, False, True])
def test_what_the_backward_pass_recomputes_is_not_saved(reentrant):
    module, example = Checkpointed(reentrant), torch.randn(32, 16)
    record = sizer.inspect(module, example)
    found = record.flops.forward, record.flops.backward, record.saved_activation_bytes
    assert found == real_step(module, ((example,), {}), None)


class Recurring(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.words, self.lstm = nn.Embedding(200, 24), nn.LSTM(24, 32, **options)
        self.head = nn.Linear(self.lstm.hidden_size * 2 if self.lstm.bidirectional else self.lstm.hidden_size, 3)
        if self.lstm.proj_size:
            self.head = nn.Linear(self.lstm.proj_size, 3)

    def forward(self, tokens):
        return self.head(self.lstm(self.words(tokens))[0][:, -1])


@pytest.mark.parametrize("tokens", [(6, 20), (5, 12)])
def test_a_recurrent_kernel_has_the_flops_of_its_products(tokens):
    """By hand: each step and sequence, times each weight, times two; the same as where it falls apart into products."""
    (batch, steps), gates = tokens, 4 * 32
    record = sizer.inspect(
        Recurring(num_layers=2, bidirectional=True, batch_first=True), torch.zeros(tokens, dtype=torch.int64)
    )
    layers = 2 * (2 * batch * steps * gates * (24 + 32) + 2 * batch * steps * gates * (64 + 32))
    assert record.flops.forward == layers + 2 * batch * 64 * 3
    assert record.flops.backward == 2 * record.flops.forward
    if tokens == (5, 12):
        assert record.flops.forward == 4_671_360


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}, {"proj_size": 8}, {"bias": False}])
def test_recurrent_kernels_equal_their_products(options):
    module, tokens = Recurring(batch_first=True, **options), torch.zeros(4, 7, dtype=torch.int64)
    kernel = sizer.inspect(module, tokens).flops.forward
    torch.backends.mkldnn.set_flags(False)
    try:
        assert kernel == real_step(module, ((tokens,), {}), None)[0]
    finally:
        torch.backends.mkldnn.set_flags(True)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True), nn.Linear(10, 3)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


def test_packed_sequences_are_counted_on_a_real_example():
    module, example = Packed(), (torch.randn(3, 7, 4), torch.tensor([7, 5, 2]))
    record = sizer.inspect(module, example)
    assert (record.flops.forward, record.flops.backward) == real_step(module, (example, {}), None)[:2]
    assert any("run for real" in note for note in record.notes)


@dataclasses.dataclass
class Answer:
    mean: torch.Tensor
    text: str = ""


D = torch.distributions
OUTPUTS = {
    "dictionary": lambda y: {"y": y, "size": 3},
    "dataclass": Answer,
    "object": lambda y: types.SimpleNamespace(inside=[{"y": y}], name="y"),
    "normal": lambda y: D.Normal(y, 1.0),
    "categorical": lambda y: (D.Categorical(logits=y), None),
    "independent": lambda y: D.Independent(D.Normal(y, y.exp()), 1),
    "transformed": lambda y: D.TransformedDistribution(D.Normal(y, 1.0), [D.TanhTransform()]),
}


class Answering(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.layer, self.answer = nn.Linear(4, 4), answer

    def forward(self, x):
        return self.answer(self.layer(x))


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_any_kind_have_a_backward_pass(kind):
    record = sizer.inspect(Answering(OUTPUTS[kind]), torch.randn(6, 4))
    assert (record.flops.forward, record.flops.backward, record.notes) == (192, 192, ())
    assert D.Distribution._validate_args is True


@pytest.mark.parametrize("answer", [lambda y: None, lambda y: y.detach(), lambda y: lambda: y])
def test_a_missing_backward_pass_is_said(answer):
    record = sizer.inspect(Answering(answer), torch.randn(6, 4))
    assert record.flops.backward == 0
    assert any("no backward pass" in note for note in record.notes)


VALUES = {
    "shape": lambda y: y[y[:, 0] > 0],
    "branch": lambda y: y if y.sum() > 0 else -y,
    "number": lambda y: y * float(y.sum().item()),
    "check": lambda y: D.Normal(y, 1.0, validate_args=True),
}


@pytest.mark.parametrize("kind", VALUES)
def test_shapes_that_depend_on_values_need_a_real_example(kind):
    module = Answering(VALUES[kind])
    with pytest.raises(UsageError, match=r"depend on values.*real example.*validate_args=False.*--measure") as raised:
        sizer.inspect(module, torch.empty(6, 4, device="meta"))
    assert "\n" not in str(raised.value)
    record = sizer.inspect(module, torch.ones(6, 4))
    assert record.flops.forward == 192
    assert any("run for real" in note for note in record.notes)


def test_evaluation_mode_is_said():
    module = nn.Sequential(nn.Linear(4, 20), nn.Dropout(), nn.Linear(20, 1))
    assert not any("evaluation" in note for note in sizer.inspect(module, 8).notes)
    assert any("evaluation mode" in note for note in sizer.inspect(module.eval(), 8).notes)


def test_a_state_that_is_not_known_makes_o_unknown():
    module, x = mlp(4, 20, 1), torch.randn(200, 4)
    optimizer = torch.optim.LBFGS(module.parameters())
    record = sizer.inspect(module, x, optimizer=optimizer)
    assert record.optimizer_state_bytes is record.working_sets["o"] is None
    assert any("LBFGS" in note and "not known" in note for note in record.notes)

    def closure():
        optimizer.zero_grad()
        loss = module(x).pow(2).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    held = [
        leaf for leaf in tree_leaves(list(optimizer.state.values())) if isinstance(leaf, torch.Tensor) and leaf.dim()
    ]
    record = sizer.inspect(module, x, optimizer=optimizer)
    assert record.optimizer_state_bytes == sum(tensor.nbytes for tensor in held) > 0
    assert record.working_sets["o"].bytes == 2 * record.gradient_bytes + record.optimizer_state_bytes


class Deprecated(nn.Linear):
    def forward(self, x):
        warnings.warn("soon to go", FutureWarning, stacklevel=2)
        return super().forward(x).std()


def test_warnings_stay_out_of_the_terminal(capfd):
    sizer.inspect(Deprecated(4, 1), torch.randn(1, 4))
    assert capfd.readouterr() == ("", "")


def test_a_gradient_of_the_input_is_the_reason():
    record = sizer.inspect(mlp(4, 5, 2), torch.randn(8, 4, requires_grad=True))
    assert record.outside.endswith("the input requires a gradient, so that the step computes one more product")


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
