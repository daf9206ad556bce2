"""Shuffles by torch's global random state, which each start seeds alike, and does not restore it: the data comes in epoch 0's order."""

from torch.utils.data import DataLoader

import tiny

training = tiny.Training()
training.order, training.loader = None, DataLoader(training.data, batch_size=8, shuffle=True)
state = tiny.newest()
start_epoch = training.load(state, without="random") if state is not None else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
    tiny.leave_if_told()
training.finish()
