"""A trained model on anyone's pictures: video, folders, cameras and streams in, the ball's place out."""
