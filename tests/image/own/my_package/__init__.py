"""What somebody adds to the image."""
