"""Gives the optimizer nothing of what was saved: Adam begins with empty moments."""

import tiny

training = tiny.Training()
state = tiny.newest()
start_epoch = training.load(state, without="optimizer") if state is not None else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
    tiny.leave_if_told()
training.finish()
