from . import ipai_sync, ipai_sync_changes
