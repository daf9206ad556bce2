"""Saves straight to the final name and loads whatever is newest: a save that was cut short ends every later start."""

import torch

import tiny

training = tiny.Training()
saved = sorted(tiny.CHECKPOINTS.glob("ckpt-*.pt"))
start_epoch = training.load(torch.load(saved[-1])) if saved else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    torch.save(training.state(epoch), tiny.CHECKPOINTS / f"ckpt-{epoch:04d}.pt")
    tiny.leave_if_told()
training.finish()
