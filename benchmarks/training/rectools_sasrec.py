"""RecTools' SASRec on a RecBole atomic file; a script for an environment that has RecTools and not Winnow.

``python rectools_sasrec.py FILE.inter MINUTES OUT`` holds out every user's last event, validates on the last but one,
trains until the validation loss no longer falls or the minutes are over, and writes ``OUT/result.json``, and the lists
of the users' last events: ``OUT/top.npy`` and ``OUT/held_out.npy``.
"""

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
from rectools.dataset import Dataset
from rectools.models import SASRecModel

SETTINGS = {
    "n_blocks": 2,
    "n_heads": 2,
    "n_factors": 64,
    "dropout_rate": 0.5,
    "session_max_len": 50,
    "loss": "sampled_softmax",
    "n_negatives": 256,
    "lr": 1e-3,
    "batch_size": 128,
}
"""The settings with which SASRec is published for this data, in RecTools' names.

The loss is the cross-entropy over the target and sampled negatives: over all items a step takes twice as long.
"""

TOP = 10
PATIENCE = 5
"""Epochs without a lower validation loss after which training ends."""


class Best(lightning.Callback):  # type: ignore[misc]  # untyped outside its environment
    """Counts and times the learning, and keeps the weights of the epoch that validates best."""

    def __init__(self) -> None:
        self.targets, self.seconds, self.epochs = 0, 0.0, 0
        self.loss, self.at, self.weights = float("inf"), 0, None
        self._since = 0.0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Stop the clock; every position that is not padding is a target."""
        self.seconds += time.monotonic() - self._since
        self.targets += int((batch["y"] > 0).sum())

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        """Keep the best weights; stop where patience ends."""
        if trainer.sanity_checking:
            return
        self.epochs += 1
        loss = float(trainer.callback_metrics["val_loss"])
        print(f"epoch {self.epochs}: validation loss {loss:.4f}", file=sys.stderr, flush=True)  # noqa: T201
        if loss < self.loss:
            self.loss, self.at, self.weights = loss, self.epochs, copy.deepcopy(module.state_dict())
        trainer.should_stop |= self.epochs - self.at >= PATIENCE


def newest(interactions: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are the last of their users."""
    return interactions.groupby("user_id")["datetime"].rank(method="first", ascending=False) == 1


def main(file: Path, minutes: float, out: Path) -> None:
    """Train, and rank the catalog, without the seen items, for every user's last event."""
    lightning.seed_everything(0)
    table = pd.read_csv(file, sep="\t")
    table.columns = table.columns.str.replace(":.*", "", regex=True)
    interactions = pd.DataFrame(
        {
            "user_id": table["user_id"],
            "item_id": table["item_id"],
            "weight": 1.0,
            "datetime": pd.to_datetime(table["timestamp"], unit="s"),
        }
    )
    last = newest(interactions)
    held_out, dataset = interactions[last], Dataset.construct(interactions[~last])
    model = SASRecModel(
        **SETTINGS,
        get_val_mask_func=lambda rows: newest(rows).to_numpy(),
        get_trainer_func=lambda: lightning.Trainer(
            max_epochs=1000,
            max_time={"seconds": 60 * minutes},
            accelerator="auto",
            callbacks=[Best()],
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ),
    )
    begin = time.monotonic()
    model.fit(dataset)
    seconds = time.monotonic() - begin
    # RecTools trains with a copy of the trainer and its callbacks.
    best = next(callback for callback in model.fit_trainer.callbacks if isinstance(callback, Best))
    if not best.targets:
        sys.exit(f"RecTools' SASRec ended no step within {minutes:g} minutes: give it more")
    if best.weights is not None:
        model.lightning_model.load_state_dict(best.weights)
    # A held-out item that no other user has is unknown to the model: it is a miss.
    lists = model.recommend(held_out["user_id"].to_numpy(), dataset, k=TOP, filter_viewed=True)
    top = np.zeros((len(held_out), TOP), np.int32)
    place = pd.Series(np.arange(len(held_out)), held_out["user_id"])
    top[place.loc[lists["user_id"]].to_numpy(), lists["rank"].to_numpy() - 1] = lists["item_id"]
    np.save(out / "top.npy", top, allow_pickle=False)
    np.save(out / "held_out.npy", held_out["item_id"].to_numpy(np.int32), allow_pickle=False)
    result = {
        "targets_per_second": best.targets / best.seconds,
        "epochs": best.epochs,
        "stopped_by_patience": best.epochs - best.at >= PATIENCE,
        "validation_loss": best.loss,
        "seconds": seconds,
    }
    (out / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
