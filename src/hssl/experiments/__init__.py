"""The paper's experiments: its numbers, and recipes that return a run's configuration. Imports nothing by itself."""
