"""Nights that need not be lived: recorded capacity played through the loop, and what the best of all nights would have cost."""
