"""Begins with the epoch that the checkpoint has behind it: one too many."""

import tiny

training = tiny.Training()
state = tiny.newest()
start_epoch = training.load(state) - 1 if state is not None else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
    tiny.leave_if_told()
training.finish()
