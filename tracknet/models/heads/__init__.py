"""What turns a feature map into heatmap logits."""
