-- Comments on the tables and their columns.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

comment on table ipai.mirrors is
    'One row for each mirror: which Odoo model is mirrored into which table, and how.';
comment on column ipai.mirrors.name is 'Name of the mirror, the argument of the sync functions.';
comment on column ipai.mirrors.server is
    'Foreign server of the Odoo database; null for the only one.';
comment on column ipai.mirrors.model is 'Technical name of the Odoo model.';
comment on column ipai.mirrors.target_schema is 'Schema of the mirror table.';
comment on column ipai.mirrors.target_table is 'Name of the mirror table.';
comment on column ipai.mirrors.fields is
    'Mirrored fields: [{"field": name in Odoo, "column": name in the table, "type": SQL type}, '
    '...].';
comment on column ipai.mirrors.constants is
    'Columns with the same text in every row of this mirror, such as {"tenant": "acme"}. They are '
    'part of its key, so several mirrors can share a table.';
comment on column ipai.mirrors.domain is
    'Odoo domain that records must match, as JSON; [] matches all records.';
comment on column ipai.mirrors.lang is
    'Language of translated values, such as fr_FR; null is the source language.';
comment on column ipai.mirrors.company_ids is
    'Odoo companies whose records are read; empty is the default company of the Odoo user.';
comment on column ipai.mirrors.page_size is
    'Largest number of records in one request. Large records are read in smaller pages.';
comment on column ipai.mirrors.max_delete_ratio is
    'Largest share of the rows (0 to 1) that one run may delete; 100 rows are always allowed. '
    'The runs of 24 hours that delete more together raise the alert deletions.';
comment on column ipai.mirrors.overlap is
    'Overlap window: how far before the cursor an incremental run starts. '
    'It must be longer than any transaction in Odoo.';
comment on column ipai.mirrors.reconcile_every is
    'How often run_sync in mode auto reads all records. '
    'A full run finds changes that do not update write_date.';
comment on column ipai.mirrors.enabled is 'Whether run_sync without a name includes the mirror.';
comment on column ipai.mirrors.flag_field is
    'Boolean field in Odoo whose true values are counted; null for none.';
comment on column ipai.mirrors.late_after is
    'How long after it was due a run may be missing before the alert late is raised.';
comment on column ipai.mirrors.max_failures is
    'Number of consecutive failed runs that raises no alert.';
comment on column ipai.mirrors.max_delta is
    'Absolute difference of the counts that raises no alert.';
comment on column ipai.mirrors.max_flagged_ratio is
    'Share of the rows (0 to 1) whose flag_field may be true before the alert flagged is raised.';
comment on column ipai.mirrors.keep_runs is
    'How long ipai.run_log keeps the runs of this mirror. Each run deletes older ones.';
comment on column ipai.mirrors.schedule is
    'Cron schedule in GMT, set by ipai.schedule_sync() or ipai.expect_sync(); null for none.';
comment on column ipai.mirrors.scheduled_at is 'When the schedule was set.';
comment on column ipai.mirrors.scheduled_by is
    'Role that called ipai.schedule_sync(). The pg_cron job runs as this role. '
    'Null for another scheduler.';
comment on column ipai.mirrors.max_age is
    'How long after the start of the last successful run the next one is due; null for no limit. '
    'ipai.schedule_sync() and ipai.expect_sync() set it to the longest interval of the schedule.';
comment on column ipai.mirrors.max_rejects is
    'The most records that one run may set aside (see ipai.sync_rejects) before it fails; 0: the '
    'first one ends the run.';
comment on column ipai.mirrors.masks is
    'What is stored in place of the values of fields: {"field": "hmac"} or {"field": "redact"}.';
comment on column ipai.mirrors.on_delete is
    'What a run does with a row whose record no longer exists in Odoo: delete, or mark, which keeps '
    'the row and sets its column deleted_at.';
comment on column ipai.mirrors.created_at is 'When the mirror was registered.';
comment on column ipai.mirrors.relations is
    'JSON object: the model to which each mirrored many2one and many2many refers. '
    'ipai.create_mirror() and ipai.refresh_mirror() set it, for ipai.relate_mirrors().';

comment on table ipai.mirror_state is
    'One row for each mirror, which is inserted with the mirror: what its runs have reached and '
    'found.';
comment on column ipai.mirror_state.mirror is 'Name of the mirror.';
comment on column ipai.mirror_state.fingerprint is
    'Fingerprint of the definition (server, model, fields, domain, language, companies) with which '
    'the cursor was reached. A different fingerprint makes the next run full.';
comment on column ipai.mirror_state.cursor is
    'High-water mark of write_date: the next incremental run starts the overlap window before it. '
    'Null before the first complete run.';
comment on column ipai.mirror_state.settled_id is
    'Odoo id of the newest record once the overlap window after it has elapsed. Later runs start '
    'at this record without an overlap. Null until then. 0: the last full run saw no write_date, '
    'and the cursor is Odoo''s clock at its start.';
comment on column ipai.mirror_state.filled_as is
    'Login of the Odoo user whose records the mirror holds. '
    'Another user may see fewer records, so a run as another user deletes nothing on its own.';
comment on column ipai.mirror_state.filled_from is
    'database.uuid of the Odoo database whose records the mirror holds. Only the addon reports it. '
    'Runs refuse any other database.';
comment on column ipai.mirror_state.filled_company is
    'create_date of company 1 in that database, if the Odoo user can read it. '
    'Where filled_from is null, runs refuse a database with another date.';
comment on column ipai.mirror_state.active_field is
    'Field of the model that is false for archived records; empty: the model has none; null before '
    'Odoo was asked.';
comment on column ipai.mirror_state.token is
    'What the addon of Odoo returned when it last told the changes of the mirror. The next run sends '
    'it back, and Odoo tells what has changed since. Null without such an addon.';
comment on column ipai.mirror_state.safe_page_size is
    'Number of records in a page that Odoo could send after it had failed to send a larger one. The '
    'next run starts with it. Null without such a failure.';
comment on column ipai.mirror_state.degraded is
    'Why the last run did not use the addon ipai_sync, although Odoo has it. Null if it used the '
    'addon, or if Odoo does not have it.';
comment on column ipai.mirror_state.degraded_since is
    'When the first run in succession ended that did not use the addon.';
comment on column ipai.mirror_state.key_expires is
    'When the first of the API keys of the Odoo user expires, as full runs read it from Odoo. '
    'Null if no key expires, the user has a password, or Odoo does not tell.';
comment on column ipai.mirror_state.has_write_date is
    'Whether the Odoo model has a write_date. Without it every run is full.';
comment on column ipai.mirror_state.drift is
    'Mirrored fields that Odoo no longer has, whose type no longer fits, or whose values a trigger '
    'of the table changes, as last checked: '
    '[{"field": ..., "problem": ...}, ...]. Runs leave them out.';
comment on column ipai.mirror_state.alerts is
    'Kinds of alerts that NOTIFY ipai_sync_alerts last reported.';

comment on table ipai.mirror_objects is
    'The table and the server that each mirror was registered with. A run refuses others that have '
    'their names now (see ipai.register_mirror). A dump leaves it out: oids have no meaning in '
    'another database, so the next run registers them again.';
comment on column ipai.mirror_objects.mirror is 'Name of the mirror (see ipai.mirrors).';
comment on column ipai.mirror_objects.relation is 'The table.';
comment on column ipai.mirror_objects.owner is 'Owner of the table.';
comment on column ipai.mirror_objects.server is
    'Oid of the foreign server; null if none or several could be meant.';

comment on table ipai.run_log is
    'Log of runs, which view ipai.sync_runs shows. Only its own run changes a row. '
    'A run in a transaction that is rolled back leaves no row.';
comment on column ipai.run_log.run is 'Number of the run.';
comment on column ipai.run_log.mirror is 'Name of the mirror.';
comment on column ipai.run_log.mode is
    'full: all records; incremental: records written since the cursor; reconcile: incremental, and '
    'all ids compared; since: records written since a given time; counts: only counted.';
comment on column ipai.run_log.state is
    'running, succeeded, failed, cancelled, or refused (the deletion guard stopped it).';
comment on column ipai.run_log.started_at is 'When the run started.';
comment on column ipai.run_log.finished_at is 'When the run ended.';
comment on column ipai.run_log.pid is 'Process id of the backend that runs it.';
comment on column ipai.run_log.resumes is 'Number of the interrupted run that this run resumed.';
comment on column ipai.run_log.fingerprint is
    'Fingerprint of the definition of the mirror during the run (see ipai.mirror_state.fingerprint).';
comment on column ipai.run_log.token is
    'Token of the addon of Odoo from the start of a full run, for a run that resumes it.';
comment on column ipai.run_log.bound is
    'Lower bound: only records written since then were read; null for all records.';
comment on column ipai.run_log.position is
    'All records up to this id were read and written when the last page was committed.';
comment on column ipai.run_log.odoo_clock is
    'Clock of Odoo at its first answer. A resumed run keeps the one of the interrupted run.';
comment on column ipai.run_log.newest is 'Greatest write_date that the run read.';
comment on column ipai.run_log.cursor_before is 'Cursor at the start of the run.';
comment on column ipai.run_log.cursor_after is 'Cursor at the end of a complete run.';
comment on column ipai.run_log.complete is
    'Whether the run read everything in its scope, also if it failed afterwards, in the comparison '
    'of ids. False for a run with max_rows.';
comment on column ipai.run_log.pages is 'Number of pages written.';
comment on column ipai.run_log.fetched is 'Number of records that Odoo sent.';
comment on column ipai.run_log.total is 'Number of records to expect, if known.';
comment on column ipai.run_log.inserted is 'Number of new rows.';
comment on column ipai.run_log.updated is 'Number of rows that differed.';
comment on column ipai.run_log.unchanged is
    'Number of rows that were equal. They were not written.';
comment on column ipai.run_log.deleted is 'Number of rows that no longer existed in Odoo.';
comment on column ipai.run_log.odoo_count is
    'Number of records in Odoo at the end, archived records included.';
comment on column ipai.run_log.odoo_active is
    'Number of records in Odoo that are not archived, if the run counted the flags.';
comment on column ipai.run_log.flags is
    'Boolean fields whose true values the run counted on both sides; null if it counted none, '
    'because nothing had changed since they were counted.';
comment on column ipai.run_log.odoo_flagged is
    'Number of records in Odoo whose flag_field is true.';
comment on column ipai.run_log.mirror_count is 'Number of rows in the mirror at the end.';
comment on column ipai.run_log.mirror_active is
    'Number of rows in the mirror that are not archived.';
comment on column ipai.run_log.mirror_flagged is
    'Number of rows in the mirror whose flag_field is true.';
comment on column ipai.run_log.latency is
    'Time from the newest change in Odoo to its commit here, of a run that a follower made. Null if '
    'no change had a newer write_date.';
comment on column ipai.run_log.seconds_waiting is 'Seconds spent waiting for Odoo.';
comment on column ipai.run_log.seconds_writing is 'Seconds spent in this database.';
comment on column ipai.run_log.sqlstate is 'SQLSTATE of the error that ended the run.';
comment on column ipai.run_log.message is 'Message of the error that ended the run.';
comment on column ipai.run_log.detail is 'DETAIL of that error.';
comment on column ipai.run_log.hint is 'HINT of that error.';

comment on table ipai.sync_rejects is
    'What runs set aside: one row for each record that Odoo cannot send, or whose row could not be '
    'written, or deleted after Odoo deleted the record. Every run tries it again, and deletes this '
    'row once the table accepts it, or the record no longer exists on either side. A dump leaves '
    'the table out: the next full run finds the rejects again.';
comment on column ipai.sync_rejects.mirror is 'Name of the mirror.';
comment on column ipai.sync_rejects.odoo_id is 'Id of the record in Odoo.';
comment on column ipai.sync_rejects.refused is
    'insert: the record has no row; update: its row has old values; delete: its row still exists, '
    'but Odoo no longer has the record.';
comment on column ipai.sync_rejects.field is
    'Field in Odoo whose value is the cause, if the run found it.';
comment on column ipai.sync_rejects.sqlstate is 'SQLSTATE of the last error.';
comment on column ipai.sync_rejects.message is
    'Message of the last error. Constraints and triggers may quote values of the record.';
comment on column ipai.sync_rejects.since is 'When a run first tried it.';
comment on column ipai.sync_rejects.last_tried is 'When a run last tried it.';

comment on table ipai.odoo_logins is
    'User ids that Odoo returned for logins. A login takes Odoo half a second, so runs reuse them. '
    'The table holds no secret: each request carries the password.';
comment on column ipai.odoo_logins.url is 'Address of the Odoo server.';
comment on column ipai.odoo_logins.dbname is 'Name of the Odoo database.';
comment on column ipai.odoo_logins.login is 'Login of the Odoo user.';
comment on column ipai.odoo_logins.uid is 'Id of the Odoo user.';
comment on column ipai.odoo_logins.addon is
    'Whether Odoo has the addon ipai_sync, which makes reading many times faster. '
    'Full runs and ipai.check_connection() detect it. Null until then.';
comment on column ipai.odoo_logins.database_uuid is
    'database.uuid of the Odoo database. Only the addon reports it.';
comment on column ipai.odoo_logins.addon_problem is
    'Why runs do not use the addon, although Odoo has it. Null if it works.';
comment on column ipai.odoo_logins.addon_tried_at is
    'When the addon failed. Runs try it again a day later, and full runs always do. Null if it '
    'works.';
comment on column ipai.odoo_logins.xmlrpc_until is
    'Until when runs use XML-RPC, because Odoo has no JSON-2 or does not take the secret for an API key. '
    'The first run after it tries JSON-2 again. Null if Odoo answers JSON-2, or no run has tried.';

comment on table ipai.followers is
    'Followers: one row for each Odoo server whose mirrors ipai.follow_sync() or ipai-sync follow '
    'keeps up to date. It is written every ten seconds, and whenever polling fails or succeeds again.';
comment on column ipai.followers.server is 'Name of the Odoo server.';
comment on column ipai.followers.mirrors is 'Names of the mirrors that are followed.';
comment on column ipai.followers.since is
    'Since when the server is followed. A pause of more than three minutes ends it.';
comment on column ipai.followers.polled_at is
    'When Odoo last told what has changed, to within ten seconds.';
comment on column ipai.followers.problem is 'Why the last poll failed; null if it did not.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
