-- Whether the current role has the privileges $1 on the logins, in this transaction.
select bool_and(pg_catalog.has_table_privilege('ipai.odoo_logins', p.privilege))
    and ($1 = 'select' or not pg_catalog.current_setting('transaction_read_only')::bool)
from pg_catalog.string_to_table($1, ', ') as p (privilege)
