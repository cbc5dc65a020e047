select s.mirror, s.state, s.rows, s.delta, s.rejects, date_trunc('second', s.last_success) as last_success,
    date_trunc('second', s.next_due) as next_due, s.progress, s.failures,
    s.last_error, s.model, s.target
from ipai.sync_status s
where $1::text is null or s.mirror = $1
order by s.mirror
