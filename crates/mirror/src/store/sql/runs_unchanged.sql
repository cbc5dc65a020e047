-- Records a run of each mirror ($1) of which Odoo reports no change since its token ($2), if the
-- last run succeeded and counted as many records and rows as the mirror has now ($3). The lock of
-- the mirror ends with the transaction.
insert into ipai.run_log
    (mirror, mode, state, finished_at, fingerprint, cursor_before, cursor_after, complete,
     odoo_count, mirror_count)
select s.mirror, 'incremental', 'succeeded', pg_catalog.clock_timestamp(), s.fingerprint, s.cursor,
    s.cursor, true, c.odoo_count, c.mirror_count
from unnest($1::text[], $2::text[], $3::bigint[]) m (mirror, token, rows)
join ipai.mirror_state s on s.mirror = m.mirror and s.token = m.token and s.degraded is null
cross join lateral (
    select r.odoo_count, r.mirror_count
    from ipai.run_log r
    where r.mirror = m.mirror and r.odoo_count is not null
    order by r.run desc
    limit 1) c
where c.odoo_count = m.rows
    and c.mirror_count = m.rows
    and not exists (select from ipai.sync_rejects r where r.mirror = m.mirror)
    and (
        select r.state
        from ipai.run_log r
        where r.mirror = m.mirror and r.mode <> 'counts'
        order by r.run desc
        limit 1) = 'succeeded'
    and pg_catalog.pg_try_advisory_xact_lock(
        pg_catalog.hashtext('ipai_sync'), pg_catalog.hashtext(m.mirror))
returning mirror, run, odoo_count
