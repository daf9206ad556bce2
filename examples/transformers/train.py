"""A Hugging Face training that may be interrupted at any moment: a small BERT learns to fill in masked tokens.

`night.train(trainer)` for `trainer.train()`, and `done` at the end, are all it takes. The collator masks at random, anew
in each epoch, from torch's global random state: after a resume it masks what it would have masked.
"""

import argparse
import json
import os
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForMaskedLM, Trainer, TrainerCallback, TrainingArguments, set_seed

from nightspot.checkpoint.integrations.transformers import NightspotCallback

MASK, WORDS, LENGTH = 1, 100, 16

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--rows", type=int, default=256)
parser.add_argument("--checkpoints", default="checkpoints")
parser.add_argument("--out", default=os.environ.get("NIGHTSPOT_ARTIFACT", "model.pt"))


class Counting(Dataset[torch.Tensor]):
    """Rows of 16 tokens that count upwards from anywhere, by one or two."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> torch.Tensor:
        start, by = divmod(index * 7919, 2)
        return 2 + (start + torch.arange(LENGTH) * (by + 1)) % (WORDS - 2)


def masked(rows: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Int64 [batch, 16] each: a fifth of the tokens hidden, and what they were; -100 where nothing is asked."""
    tokens = torch.stack(rows)
    hidden = torch.rand(tokens.shape) < 0.2
    return {"input_ids": tokens.masked_fill(hidden, MASK), "labels": tokens.masked_fill(~hidden, -100)}


class Losses(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Prints the loss of each step."""

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            print(json.dumps({"step": state.global_step - 1, "loss": logs["loss"]}), flush=True)


if __name__ == "__main__":
    args = parser.parse_args()
    set_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForMaskedLM(BertConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, **size))
    night = NightspotCallback(folder=args.checkpoints)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            "output",
            num_train_epochs=args.epochs,
            per_device_train_batch_size=16,
            gradient_accumulation_steps=2,
            learning_rate=1e-3,
            logging_steps=1,
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
        ),
        train_dataset=Counting(args.rows),
        data_collator=masked,
        callbacks=[night, Losses()],
    )
    result = night.train(trainer)
    torch.save(model.state_dict(), args.out)
    night.done(metrics={"train_loss": result.training_loss})
