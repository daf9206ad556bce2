"""The same training, mended: a sampler that knows its place, a session that keeps everything. Every case of the drill is exact."""

import argparse
import json
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nightspot.checkpoint import ResumableSampler, Session

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--checkpoints", default=os.environ.get("NIGHTSPOT_CHECKPOINT_DIR", "checkpoints"))
parser.add_argument("--out", default=os.environ.get("NIGHTSPOT_ARTIFACT", "model.pt"))
args = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(1)
known = torch.Generator().manual_seed(1)
inputs = torch.randn(256, 64, generator=known)
dataset = TensorDataset(inputs, inputs.square().sum(dim=1, keepdim=True) / 64)

model = nn.Sequential(
    nn.Linear(64, 1024), nn.ReLU(), nn.Dropout(0.1), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 1)
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
sampler = ResumableSampler(len(dataset), batch_size=32, seed=0)
loader = DataLoader(dataset, batch_sampler=sampler)
loop = {"step": 0}

states = {"model": model, "optimizer": optimizer, "sampler": sampler, "loop": loop}
with Session(states, folder=args.checkpoints) as session:
    session.restore()
    while sampler.epoch < args.epochs:
        for x, y in sampler.batches(loader):
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(json.dumps({"step": loop["step"], "loss": loss.item()}), flush=True)
            loop["step"] += 1
            session.step(units_done=loop["step"] / len(sampler), metrics={"loss": loss.item()})
    torch.save(model.state_dict(), args.out)
    session.done(units_done=args.epochs)
