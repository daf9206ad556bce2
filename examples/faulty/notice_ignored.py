"""Comes out right, but lets a notice pass: what was done since the last epoch's end is done again."""

import signal

import tiny

training = tiny.Training()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
state = tiny.newest()
start_epoch = training.load(state) if state is not None else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
training.finish()
