from . import ipai_sync
