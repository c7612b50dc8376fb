"""What reports hold, a section a file."""
