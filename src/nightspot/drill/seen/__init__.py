"""What is seen of a training while it is played: steps and losses, what it saves, the finished model."""
