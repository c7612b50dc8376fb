"""Runs: the record of one, the folder of many, a grid of them on this machine or on a SLURM cluster."""
