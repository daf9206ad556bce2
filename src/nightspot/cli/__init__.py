"""Thin shells: commands that read arguments, call the floors below, and print. Entry point: app.py."""
