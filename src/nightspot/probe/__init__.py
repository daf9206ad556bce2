"""Rides along in the training process of a drill, and writes down what each step saw. Standard library only; changes no number."""
