"""Callbacks against the real frameworks; each test is skipped where its framework is not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

pytestmark = [pytest.mark.framework, pytest.mark.filterwarnings("ignore")]  # the frameworks' own warnings


def network():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))


def test_lightning(capsys, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    from sizer.integrations.lightning import SizerCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def training_step(self, batch, index):
            return self.net(batch).square().mean()

        def validation_step(self, batch, index):
            self.net(batch)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters())

    callback = SizerCallback()
    trainer = lightning.Trainer(
        max_steps=3, callbacks=[callback], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", default_root_dir=tmp_path,
    )  # fmt: skip
    batches = torch.utils.data.DataLoader(torch.randn(32, 6), batch_size=8)
    before = nn.Module.__call__
    trainer.fit(Module(), batches, batches)
    assert callback.record.widths == (6, 16, 1)
    assert (callback.record.batch_size, callback.record.optimizer) == (8, "adamw")
    assert capsys.readouterr().err.count("sizer: working sets:") == 1
    assert nn.Module.__call__ is before


def test_transformers(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from sizer.integrations.transformers import SizerCallback

    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=40)
    tokens = [{"input_ids": torch.randint(0, 40, (9,))} for _ in range(8)]
    rows = [{**row, "labels": row["input_ids"]} for row in tokens]
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    callback = SizerCallback()
    transformers.Trainer(
        model=transformers.GPT2LMHeadModel(config), args=arguments, train_dataset=rows, callbacks=[callback]
    ).train()
    assert callback.record.module == "GPT2LMHeadModel"
    assert (callback.record.batch_size, callback.record.optimizer) == (4, "adamw")
    assert capsys.readouterr().err.count("sizer: working sets:") == 1


def test_skorch(capsys):
    skorch = pytest.importorskip("skorch")
    from sklearn.base import clone

    from sizer.integrations.skorch import SizerCallback

    net = skorch.NeuralNetRegressor(
        network, max_epochs=2, batch_size=8, callbacks=[("sizer", SizerCallback())], verbose=0, train_split=None
    )
    net = clone(net)
    net.fit(np.random.randn(32, 6).astype("float32"), np.zeros((32, 1), dtype="float32"))
    record = dict(net.callbacks_)["sizer"].record_
    assert record.widths == (6, 16, 1)
    assert (record.batch_size, record.optimizer) == (8, "sgd")
    assert capsys.readouterr().err.count("sizer: working sets:") == 1


def test_optuna():
    optuna = pytest.importorskip("optuna")
    from sizer.integrations.optuna import WidthSpace, suggest_widths

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = WidthSpace(input_dim=8, output_dim=2, depth=3, device="butter-e-cpu", top=4)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: float(space.suggest(trial).num_free_parameters), n_trials=12)
    assert set(study.trials_dataframe()["params_widths"]) <= set(space.networks)
    assert study.best_value == min(network.num_free_parameters for network in space.networks.values())
    fixed = optuna.trial.FixedTrial({"widths": next(iter(space.networks))})
    chosen = suggest_widths(fixed, input_dim=8, output_dim=2, depth=3, device="butter-e-cpu", top=4)
    assert chosen == next(iter(space.networks.values()))
