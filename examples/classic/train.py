"""The classic training script: a checkpoint each epoch, resume from the newest. The drill finds three faults in it; see README.md."""

import argparse
import glob
import json
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

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
loader = DataLoader(dataset, batch_size=32, shuffle=True)

start_epoch = 0
os.makedirs(args.checkpoints, exist_ok=True)
checkpoints = sorted(glob.glob(os.path.join(args.checkpoints, "ckpt-*.pt")))
if checkpoints:
    ckpt = torch.load(checkpoints[-1])
    model.load_state_dict(ckpt["model"])
    optimizer.load_state_dict(ckpt["optimizer"])
    start_epoch = ckpt["epoch"] + 1

for epoch in range(start_epoch, args.epochs):
    for step, (x, y) in enumerate(loader):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(json.dumps({"step": epoch * len(loader) + step, "loss": loss.item()}), flush=True)
    state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, os.path.join(args.checkpoints, f"ckpt-{epoch:04d}.pt"))

torch.save(model.state_dict(), args.out)
