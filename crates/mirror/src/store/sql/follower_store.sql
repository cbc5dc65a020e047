-- Records a poll of the server $1 for the mirrors $2; a poll that failed ($3) leaves the time of
-- the last one. A pause longer than three minutes ends the time since when the server is followed.
insert into ipai.followers as f (server, mirrors, since, polled_at, problem)
values ($1, $2, pg_catalog.clock_timestamp(), case when $3 is null then pg_catalog.clock_timestamp() end, $3)
on conflict (server) do update
set mirrors = excluded.mirrors,
    since = case when f.polled_at > excluded.since - interval '3 minutes' then f.since else excluded.since end,
    polled_at = coalesce(excluded.polled_at, f.polled_at),
    problem = excluded.problem
