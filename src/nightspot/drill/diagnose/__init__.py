"""Names the cause of a difference in words for whoever wrote the training script, with the line to change. Pure."""
