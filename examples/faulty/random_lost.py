"""Leaves torch's random state as the seed made it: dropout draws what it drew in the first epoch."""

import tiny

training = tiny.Training()
state = tiny.newest()
start_epoch = training.load(state, without="random") if state is not None else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
    tiny.leave_if_told()
training.finish()
