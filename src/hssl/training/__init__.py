"""Training: joins views, backbone, head and objective, on one device or many."""
