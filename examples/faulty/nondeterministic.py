"""Seeds nothing: two trainings that nobody interrupted differ. It does resume what it saved."""

import tiny

training = tiny.Training(seed=None)
state = tiny.newest()
start_epoch = training.load(state) if state is not None else 0
for epoch in range(start_epoch, tiny.EPOCHS):
    training.epoch(epoch)
    tiny.save(training.state(epoch))
    tiny.leave_if_told()
training.finish()
