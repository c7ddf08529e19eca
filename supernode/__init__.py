"""A site's part: Flower's supernode behind our seam, the worker, and the resident trainer."""
