-- Changes the options that are not null. The cursor belongs to what was asked of which Odoo
-- database. A change of that resets the cursor, also if it is changed back later: a run in between
-- may have left other values.
with altered as (
    update ipai.mirrors
    set server = coalesce($2, server),
        domain = coalesce($3::jsonb, domain),
        lang = case when $4::text is null then lang else nullif($4, '') end,
        company_ids = coalesce($5::bigint[], company_ids),
        page_size = coalesce($6, page_size),
        overlap = coalesce($7::interval, overlap),
        reconcile_every = coalesce($8::interval, reconcile_every),
        max_delete_ratio = coalesce($9, max_delete_ratio),
        enabled = coalesce($10, enabled),
        flag_field = case when $11::text is null then flag_field else nullif($11, '') end,
        late_after = coalesce($12::interval, late_after),
        max_failures = coalesce($13, max_failures),
        max_delta = coalesce($14, max_delta),
        max_flagged_ratio = coalesce($15, max_flagged_ratio),
        keep_runs = coalesce($16::interval, keep_runs),
        max_rejects = coalesce($17, max_rejects),
        masks = coalesce($18::jsonb, masks),
        on_delete = coalesce($19, on_delete)
    where name = $1
    returning server, domain, lang, company_ids, masks)
update ipai.mirror_state s
set cursor = case when c.is_same then s.cursor end,
    fingerprint = case when c.is_same then s.fingerprint end,
    settled_id = case when $7::interval is null or s.settled_id = 0 then s.settled_id end
-- The statement sees the mirror as it was before.
from ipai.mirrors b, altered a, lateral (
    select (b.server, b.domain, b.lang, b.company_ids, b.masks)
        is not distinct from (a.server, a.domain, a.lang, a.company_ids, a.masks))
    as c (is_same)
where s.mirror = $1 and b.name = $1
