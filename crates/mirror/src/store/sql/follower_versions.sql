-- The mirrors to follow, with a text that changes whenever their definition or state does. Without
-- names ($1): those that this role has scheduled as 'live', or else all enabled mirrors.
with live as (
    select m.name
    from ipai.mirrors m
    where m.enabled and m.schedule = 'live' and m.scheduled_by = current_user)
select m.name, m.server, pg_catalog.concat_ws(' ', m.xmin, s.xmin)
from ipai.mirrors m
left join ipai.mirror_state s on s.mirror = m.name
where case
        when $1::text[] is not null then m.name = any ($1::text[])
        when exists (select from live) then m.name in (select l.name from live l)
        else m.enabled
    end
order by 1
