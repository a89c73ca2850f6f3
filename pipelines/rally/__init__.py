"""Renders rallies: physics, players, camera, stadium, and the ball on top of them."""
