from . import test_sample_metric
