# For PGXN: `pgxn install ipai_sync` runs `make` and, with sudo, `make install`. Needs Rust.
PG_CONFIG ?= pg_config

all:
	scripts/install "$$(command -v $(PG_CONFIG))" --to package

install:
	install -m 755 package/lib/* "$$($(PG_CONFIG) --pkglibdir)/"
	install -m 644 package/extension/* "$$($(PG_CONFIG) --sharedir)/extension/"

.PHONY: all install
