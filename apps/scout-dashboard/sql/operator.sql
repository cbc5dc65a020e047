-- Creates the role of operators: signed-in users who also see runs, schedules and errors on the
-- page "Sync health". Run this as `postgres` after `create extension ipai_sync`. A token with
-- "role": "ipai_operator" makes its user an operator.
create role ipai_operator nologin;
grant ipai_operator to authenticator;
-- Operators inherit the privileges of users; row-level security applies to them by their claims.
grant authenticated to ipai_operator;
alter role ipai_operator set statement_timeout = '8s';
grant select on ipai.sync_status, ipai.sync_alerts, ipai.sync_runs, ipai.mirrors,
  ipai.mirror_state, ipai.run_log, ipai.sync_rejects, ipai.followers to ipai_operator;
