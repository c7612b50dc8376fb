"""Benchmarks: ratios measured side by side in one process, with what they were measured on."""
