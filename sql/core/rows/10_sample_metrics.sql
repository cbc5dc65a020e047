-- The rows that an installation starts with.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

-- Only where the migrations were applied before. Otherwise the first migration registers it.
select ipai.register_sample_metrics();

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
