"""nightspot: a deadline-bound training job on Spot capacity, the model ready by morning."""

__version__ = "0.1.0"
