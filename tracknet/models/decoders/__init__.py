"""What turns a grid of tokens into a feature map of the heatmap's size."""
