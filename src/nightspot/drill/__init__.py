"""Proves resume: interrupts the user's training on purpose, and compares with uninterrupted runs. See docs/drill.md."""
