-- The sample mirror: the model ipai.sample.metric in the table ipai.ipai_sample_metrics, which the
-- first migration creates.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.register_sample_metrics() returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    with registered as (
        insert into ipai.mirrors (name, model, target_schema, target_table, fields, flag_field)
        select 'sample_metrics', 'ipai.sample.metric', 'ipai', 'ipai_sample_metrics',
               (select jsonb_agg(jsonb_build_object('field', f.name, 'column', f.name,
                                                    'type', f.type) order by f.place)
                from (values
                    (1, 'name', 'text'), (2, 'code', 'text'), (3, 'date', 'date'),
                    (4, 'brand_id', 'bigint'), (5, 'store_id', 'bigint'),
                    (6, 'value', 'double'), (7, 'unit', 'text'),
                    (8, 'is_alert', 'boolean'), (9, 'notes', 'text'), (10, 'active', 'boolean'))
                    as f (place, name, type)),
               'is_alert'
        where to_regclass('ipai.ipai_sample_metrics') is not null
          and not exists (
              select from ipai.mirrors m
              where m.name = 'sample_metrics'
                 or (m.target_schema, m.target_table) = ('ipai', 'ipai_sample_metrics'))
        returning name
    ), stateful as (
        insert into ipai.mirror_state (mirror) select r.name from registered r
        returning mirror
    )
    select exists (select from stateful)
$$;
comment on function ipai.register_sample_metrics() is
    'Registers the mirror sample_metrics if its table exists and no mirror has that name or table. '
    'Returns whether it did. The migration that creates the table and the installation call it.';

create or replace view ipai.sample_metrics_count_delta with (security_invoker = on) as
select d.odoo_total, d.odoo_active, d.odoo_archived, c.odoo_flagged as odoo_alerts,
       d.mirror_total, d.mirror_active, d.mirror_archived,
       c.mirror_flagged as mirror_alerts,
       d.delta, c.odoo_flagged - c.mirror_flagged as alerts_delta,
       d.checked_at,
       case
           when d.verdict in ('ok', 'stale') and c.odoo_flagged <> c.mirror_flagged then 'drift'
           else coalesce(d.verdict, 'never')
       end as verdict,
       d.last_poll, d.live
from (values ('sample_metrics')) as name (mirror)
left join ipai.sync_count_delta d on d.mirror = name.mirror
left join lateral (
    select r.odoo_flagged, r.mirror_flagged from ipai.run_log r
    where r.mirror = name.mirror and r.flags is not null
    order by r.run desc
    limit 1) c on true;
comment on view ipai.sample_metrics_count_delta is
    'The counts of ipai.ipai_sample_metrics, with those of its field is_alert. '
    'One row, also before the first run.';
comment on column ipai.sample_metrics_count_delta.odoo_total is 'Number of records in Odoo.';
comment on column ipai.sample_metrics_count_delta.odoo_active is
    'Number of records in Odoo that are not archived; null if the mirror has no column active.';
comment on column ipai.sample_metrics_count_delta.odoo_archived is
    'Number of archived records in Odoo.';
comment on column ipai.sample_metrics_count_delta.odoo_alerts is
    'Number of records in Odoo whose is_alert is true.';
comment on column ipai.sample_metrics_count_delta.mirror_total is 'Number of rows in the mirror.';
comment on column ipai.sample_metrics_count_delta.mirror_active is
    'Number of rows in the mirror that are not archived.';
comment on column ipai.sample_metrics_count_delta.mirror_archived is
    'Number of archived rows in the mirror.';
comment on column ipai.sample_metrics_count_delta.mirror_alerts is
    'Number of rows in the mirror whose is_alert is true.';
comment on column ipai.sample_metrics_count_delta.delta is 'Odoo total minus mirror total.';
comment on column ipai.sample_metrics_count_delta.alerts_delta is
    'odoo_alerts minus mirror_alerts.';
comment on column ipai.sample_metrics_count_delta.checked_at is 'When both sides were counted.';
comment on column ipai.sample_metrics_count_delta.verdict is 'ok, drift, stale or never.';
comment on column ipai.sample_metrics_count_delta.last_poll is
    'When Odoo last told the follower what has changed; null if none follows the mirror.';
comment on column ipai.sample_metrics_count_delta.live is
    'Whether the mirror shows changes as they happen; null if no follower has polled yet.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
