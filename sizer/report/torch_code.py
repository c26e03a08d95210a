"""The best network of a recommendation as a script: the network, its optimizer, averages of its weights, an epoch."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sizer.base.units import counted
from sizer.method.cost_to_loss import HIGH_RATE
from sizer.method.recommendation import Candidate, Recommendation

if TYPE_CHECKING:
    from sizer.size_search.data.prepare import Prepared

_RESIDUAL = '''
class ResidualLayer(nn.Module):
    """x + relu(W x + b)."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.linear(x))

'''

#: Class and settings of each optimizer beside the rate.
_OPTIMIZERS = {
    "adam": ("Adam", ""),
    "adamw": ("AdamW", ""),
    "sgd": ("SGD", ""),
    "sgd-momentum": ("SGD", "momentum=0.9, "),
}

#: As a request's kind has it.
CLASSIFICATION = "classification"
#: Rows that the script takes there to be where the request does not say how many.
_ROWS = 10_000

_AVERAGED = '''
STEPS = -(-OBSERVATIONS // BATCH_SIZE)  # of an epoch
EVERY = max(1, min(8, STEPS // 4))  # steps between two updates of the averages, which take as long as a small step
WINDOW = 2 * STEPS / EVERY  # updates in two epochs


def move(averages, weights, updates):
    """An exponential average over half of the updates so far, at most over the window."""
    share = torch.clamp(1 / (updates / 2 + 1), min=1 / WINDOW)
    for average, weight in zip(averages, weights):
        average.lerp_(weight, share)


averaged = AveragedModel(model, multi_avg_fn=move)  # predicts, and is validated, in the model's stead'''

_UPDATE = """        if step % EVERY == 0:
            averaged.update_parameters(model)
"""

_EPOCH = '''

def train_epoch(x, y, loss_of=nn.functional.{loss}):
    """One epoch over x of shape (rows, {inputs}) and y, in random batches; the mean loss."""
    losses = []
    for {batches}:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
{update}        losses.append(loss.detach())
    return torch.stack(losses).mean().item()
'''


#: Ending of a table's name -> how the script reads it, every cell as text.
_READERS = dict.fromkeys(
    (".csv", ".tsv", ".txt", ".csv.gz"),
    'pandas.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False, na_values=[""])',
) | {".parquet": 'pandas.read_parquet(path).astype("string").astype(object)'}
_ARRAYS = '''

def prepare(path, seed=0):
    """Arrays x (rows, {inputs}) and y of an .npz file for training and, a fifth of the rows, for validation; scaled."""
    import numpy

    data = numpy.load(path)
    order = numpy.random.default_rng(seed).permutation(len(data["x"]))
    x, y, cut = data["x"][order].astype("float32"), data["y"][order], len(order) * 4 // 5
    x = (x - x[:cut].mean(0)) / numpy.maximum(x[:cut].std(0), 1e-6)
    x, y = torch.tensor(x), torch.tensor({encoded})
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
'''

#: The targets as the loss takes them.
_ENCODED = {
    "mse_loss": "((y - y[:cut].mean()) / y[:cut].std()).astype('float32').reshape(len(y), -1)",
    "cross_entropy": "y.astype('int64')",
}

#: Epochs without gain after which the script stops: as a search leaves a size (docs/search.md).
_PATIENCE = 12

_LOOP = """

if __name__ == "__main__" and sys.argv[1:]:  # python THIS_FILE {example}
    (x, y), (x_validation, y_validation) = prepare(sys.argv[1])
    best, best_epoch = float("inf"), 0
    for epoch in range(1, 1001):
        trained = train_epoch(x, y)
        with torch.no_grad():
            validated = nn.functional.{loss}({predicts}(x_validation), y_validation).item()
        print(f"epoch {{epoch}}: training loss {{trained:.4f}}, validation loss {{validated:.4f}}")
        best, best_epoch = (validated, epoch) if validated < best else (best, best_epoch)
        if epoch - best_epoch >= {patience}:
            break
    print(f"best validation loss {{best:.4f}} in epoch {{best_epoch}}")
"""


def torch_code(record: Recommendation, prepared: Prepared | None = None) -> str:
    """A script that builds the best network, checks its number of parameters, and can train it.

    ``prepared`` is the data that it was sized for, None where sizes were stated.
    """
    best = record.best
    parts = [*_head(best), *_network(best)]
    return "\n".join(parts if record.request.purpose == "inference" else [*parts, *_training(record, best, prepared)])


def _head(best: Candidate) -> Iterator[str]:
    yield from _comment(f"{counted(best.num_free_parameters, 'parameter')}; {best.why}")
    yield "import sys"
    yield ""
    yield "import torch"
    yield "from torch import nn"
    if best.averaged:
        yield "from torch.optim.swa_utils import AveragedModel"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 100)]


def _network(best: Candidate) -> Iterator[str]:
    residual = best.shape == "rectangle_residual"
    yield _RESIDUAL if residual else ""
    yield "model = nn.Sequential("
    *hidden, last = itertools.pairwise((best.input_dim, *best.widths))
    for index, (w_in, w_out) in enumerate(hidden):
        deep = residual and index > 0
        yield f"    ResidualLayer({w_out})," if deep else f"    nn.Linear({w_in}, {w_out}),\n    nn.ReLU(),"
    yield f"    nn.Linear({last[0]}, {last[1]}),"
    yield ")"
    yield f"assert sum(p.numel() for p in model.parameters()) == {best.num_free_parameters}\n"


def _training(record: Recommendation, best: Candidate, prepared: Prepared | None) -> Iterator[str]:
    rows = record.request.observations
    yield f"BATCH_SIZE = {best.batch_size}"
    if best.averaged:
        yield f"OBSERVATIONS = {rows or _ROWS:_}  # the rows trained on"
    if (best.learning_rate or 0.0) > HIGH_RATE.above:
        yield from _comment(HIGH_RATE.advice)
    form, settings = _OPTIMIZERS[best.optimizer_name]
    rate = "" if best.learning_rate is None else f"lr={best.learning_rate:g}, "
    yield f"optimizer = torch.optim.{form}(model.parameters(), {rate}{settings}fused=True)"
    if best.averaged:
        yield _AVERAGED
    batches, update = "batch in torch.randperm(len(x)).split(BATCH_SIZE)", ""
    if best.averaged:
        batches, update = "step, batch in enumerate(torch.randperm(len(x)).split(BATCH_SIZE))", _UPDATE
    kind, data = record.request.kind, record.request.data or ""
    reader = next((how for ending, how in _READERS.items() if data.lower().endswith(ending)), None)
    classes = kind == CLASSIFICATION or (kind is None and best.widths[-1] > 1)
    loss = "cross_entropy" if classes else "mse_loss"
    yield _EPOCH.format(loss=loss, inputs=best.input_dim, batches=batches, update=update).rstrip()
    example = "data.npz"
    if prepared is not None and reader is not None:
        from sizer.report.torch_table import table_code

        example = data
        yield table_code(prepared, reader).rstrip()
    else:
        yield _ARRAYS.format(inputs=best.input_dim, encoded=_ENCODED[loss]).rstrip()
    predicts = "averaged" if best.averaged else "model"
    yield _LOOP.format(loss=loss, predicts=predicts, patience=_PATIENCE, example=example)
