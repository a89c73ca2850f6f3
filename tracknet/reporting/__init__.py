"""Arrays in, pictures or text out."""
