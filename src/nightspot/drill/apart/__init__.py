"""Keeping what the drill plays apart: from what is real, and each training from the others."""
