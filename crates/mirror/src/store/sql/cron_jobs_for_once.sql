-- The current user's jobs of ipai.sync_now for the mirrors $1.
select m.name, j.jobid
from unnest($1::text[]) as m (name)
join cron.job j on j.jobname = 'ipai_sync now ' || m.name
where j.username = current_user
