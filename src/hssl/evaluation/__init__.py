"""What a trained network is worth: the paper's readout, a linear probe, kNN, and its equivariance.

Each number has a name of its own. The probes take features or an `encode`, a callable from images [B, C, H, W] to
features [B, D].
"""
