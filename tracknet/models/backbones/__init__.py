"""What turns frames into a grid of tokens."""
