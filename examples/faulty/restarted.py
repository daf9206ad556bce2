"""Saves after each epoch, and never looks for what it saved."""

import tiny

training = tiny.Training()
for epoch in range(tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
    tiny.leave_if_told()
training.finish()
