"""The parts of the SageMaker backend: what speaks to AWS, and nothing else does."""
