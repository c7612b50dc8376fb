"""What each command of `hssl` does. Imports nothing by itself, and nothing heavy before a command needs it."""
