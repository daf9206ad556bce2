"""Lays interrupted trainings over uninterrupted ones: which step each Life began with, where the losses part, what is noise. Pure."""
