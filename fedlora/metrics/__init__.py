"""What the kit measures, and how it gets to Prometheus."""

from fedlora.metrics.catalogue import CATALOGUE, Metric, metric
from fedlora.metrics.sample import Sample

__all__ = ["CATALOGUE", "Metric", "Sample", "metric"]
