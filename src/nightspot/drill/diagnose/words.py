"""What to write instead: one mend for each cause, in words for whoever wrote the training script."""

from __future__ import annotations

from nightspot.drill.record import Cause

OURS = "or hand all states to nightspot.checkpoint.Session, which does this (docs/checkpoint.md)"

MENDS: dict[Cause, str] = {
    Cause.RESTARTED: "Before the first epoch: look for the newest checkpoint in the folder that is saved to, load it, and give it to "
    f"model.load_state_dict, optimizer.load_state_dict and start_epoch; {OURS}.",
    Cause.WRONG_EPOCH: 'Save the epoch that was finished, and begin with the one after it: start_epoch = checkpoint["epoch"] + 1, '
    f"for epoch in range(start_epoch, epochs). Saved within an epoch, the position in it belongs into the checkpoint, too; {OURS}.",
    Cause.OPTIMIZER: 'Save "optimizer": optimizer.state_dict(), and after torch.load call '
    f'optimizer.load_state_dict(checkpoint["optimizer"]); {OURS}.',
    Cause.RANDOM: 'Save "torch_random": torch.get_rng_state() (and random.getstate(), numpy.random.get_state() where used), and '
    "set them again after everything is loaded and iter(loader) was called; or let the order be a function of the epoch, "
    f"generator.manual_seed(seed + epoch); {OURS}.",
    Cause.DATA_ORDER: "The seed at the script's start gives each start the order of epoch 0. Let the order be a function of the epoch: "
    "loader = DataLoader(..., generator=generator), and generator.manual_seed(seed + epoch) before each epoch; and save and set again "
    f"torch.get_rng_state() for dropout; or take nightspot.checkpoint.ResumableSampler, {OURS}.",
    Cause.SCHEDULER: 'Save "scheduler": scheduler.state_dict(), and after torch.load call '
    f'scheduler.load_state_dict(checkpoint["scheduler"]); {OURS}.',
    Cause.TORN: "Save to another name and rename when it is whole: torch.save(state, path + '.tmp'), os.fsync, os.replace(path + '.tmp', "
    f"path); keep the one before, and load that where the newest cannot be read; {OURS}.",
    Cause.CORRUPT: "torch.load notices no changed bit. Write a hash beside each file and compare it before loading; where it differs, load "
    f"the one before; {OURS}.",
    Cause.NONDETERMINISTIC: "torch.manual_seed(seed), random.seed(seed) and numpy.random.seed(seed) first; "
    "torch.use_deterministic_algorithms(True) and torch.backends.cudnn.benchmark = False; CUBLAS_WORKSPACE_CONFIG=:4096:8 and "
    "PYTHONHASHSEED=0 in the environment; torch.set_num_threads(n); random augmentation in loader workers seeded by sample.",
    Cause.ONLY_ONE: "Write to a temporary name, fsync, rename, keep two: torch.save(state, path + '.tmp'), os.fsync, "
    f"os.replace(path, path + '.before'), os.replace(path + '.tmp', path); and load the one before where the newest is damaged; {OURS}.",
    Cause.IGNORED_NOTICE: "On SIGTERM, save at the end of the step and leave with exit code 75: "
    f"signal.signal(signal.SIGTERM, ...) that sets a flag, looked at after each step; {OURS}.",
    Cause.UNDISTURBED: "Run the command by hand, with the arguments that [drill] adds, until it ends with 0 and its artefact is there.",
    Cause.CRASHED: "Start the command twice in one folder by hand, the second time after killing it, and mend what it says.",
    Cause.ISOLATION: "As said; bubblewrap comes with apt-get install bubblewrap, and needs user namespaces to be allowed.",
    Cause.NOT_CAUGHT: "As said; else make the drill longer, or checkpoints more frequent, in [drill].",
    Cause.UNKNOWN: "Something that the next step depends on is in no checkpoint: a counter, a moving average, a generator of its own, "
    f"random augmentation in workers; {OURS}.",
}


def mend(cause: Cause) -> str:
    """What to write."""
    return MENDS[cause]
