from . import sample_metric
