"""For maintainers: documents and pictures from committed records, and searches. Run as `python -m tools.NAME`."""
