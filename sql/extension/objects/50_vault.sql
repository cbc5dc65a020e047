-- Passwords of Odoo users in Supabase Vault.

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.has_vault() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Another role may own a view of that name. Reading it would run that role's code.
    select exists (
        select from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_roles o on o.oid = c.relowner
        join pg_roles s on s.oid = n.nspowner
        where n.nspname = 'vault' and c.relname = 'decrypted_secrets'
          and (o.rolsuper or o.rolname = current_user)
          and (s.rolsuper or s.rolname = current_user))
$$;
comment on function ipai.has_vault() is 'Whether Supabase Vault is installed in this database.';

create or replace function ipai.set_odoo_password(server text, secret text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mapping record;
    secret_name text;
    known uuid;
begin
    if secret is null or secret = '' then
        raise exception 'the secret must not be empty'
            using errcode = 'invalid_parameter_value',
                  hint = 'Pass the password or an API key of the Odoo user.';
    end if;
    if not exists (
        select from pg_foreign_server s
        join pg_foreign_data_wrapper w on w.oid = s.srvfdw
        where s.srvname = server and w.fdwname = 'ipai_odoo') then
        raise exception 'Odoo server "%" does not exist', server
            using errcode = 'undefined_object',
                  hint = 'To list the servers: select srvname from pg_foreign_server;';
    end if;
    if not ipai.has_vault() then
        raise exception 'Supabase Vault is not installed in this database'
            using errcode = 'undefined_object',
                  hint = 'create extension supabase_vault; or keep the password in your own user '
                         'mapping: alter user mapping for current_user server ... '
                         'options (set password ''...'').';
    end if;
    if not has_schema_privilege('vault', 'usage')
        or not has_table_privilege('vault.decrypted_secrets', 'select') then
        raise exception 'permission denied for Supabase Vault'
            using errcode = 'insufficient_privilege',
                  hint = 'On Supabase, call this as postgres.';
    end if;
    -- Postgres uses the mapping of the current user, or else the one of PUBLIC.
    select case when m.umuser = 0 then 'public' else 'current_user' end as owner,
           m.umoptions as options
    into mapping
    from pg_user_mappings m
    where m.srvname = server and (m.umuser = 0 or m.usename = current_user)
    order by m.umuser = 0
    limit 1;
    if not found then
        raise exception 'there is no user mapping for server "%"', server
            using errcode = 'undefined_object',
                  hint = format('create user mapping for current_user server %I '
                                'options (user ''...'', password_secret %L); '
                                'Then repeat this call.', server, 'odoo_' || server);
    end if;
    if mapping.options is null then
        raise exception 'permission denied for the user mapping of server "%"', server
            using errcode = 'insufficient_privilege',
                  hint = 'Call this as the owner of the server.';
    end if;
    select substr(o, length('password_secret=') + 1) into secret_name
    from unnest(mapping.options) o where o like 'password_secret=%';
    if secret_name is null then
        raise exception 'the user mapping for server "%" has no option password_secret', server
            using errcode = 'invalid_parameter_value',
                  hint = format('alter user mapping for %s server %I '
                                'options (drop password, add password_secret %L); '
                                'Then repeat this call.',
                                mapping.owner, server, 'odoo_' || server);
    end if;
    select s.id into known from vault.decrypted_secrets s where s.name = secret_name;
    if known is null then
        perform vault.create_secret(secret, secret_name);
    else
        perform vault.update_secret(known, secret);
    end if;
    return secret_name;
end
$$;
comment on function ipai.set_odoo_password(text, text) is
    'Stores the password or API key of a server''s user mapping in Supabase Vault, under the name '
    'in its option password_secret, and returns that name. The next run uses it. A server that '
    'logs statements logs the secret too: do not use the function there.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
