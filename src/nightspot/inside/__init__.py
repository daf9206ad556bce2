"""What runs around the user's script inside a SageMaker training image: see docs/training-protocol.md.

Python 3.10 and the standard library; boto3 in one module, where the image has it.
"""
