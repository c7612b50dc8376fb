"""The fast forms of one convolution: each gives the numbers of the reference formulation in `hssl.layers`."""
