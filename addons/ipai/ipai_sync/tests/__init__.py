from . import test_changes, test_digest, test_export, test_registry, test_rewrite
