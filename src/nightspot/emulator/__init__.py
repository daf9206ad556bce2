"""A SageMaker on this machine that behaves like Spot: the AWS API over HTTP, training as real processes.

Read `docs/emulator.md` for what is faithful and what is not.
"""
