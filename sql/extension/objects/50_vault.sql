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

create or replace function ipai.secret_binding(server text, options text[] default null)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select concat('Password of Odoo server "', s.srvname, '" at ', o.url,
                  ', database ', quote_literal(o.dbname),
                  -- They decide which machine receives the password.
                  ', through ' || encode(sha256(convert_to(o.way, 'UTF8')), 'hex'))
    from pg_foreign_server s
    cross join lateral (
        select max(x.option_value) filter (where x.option_name = 'url') as url,
               max(x.option_value) filter (where x.option_name = 'dbname') as dbname,
               string_agg(concat(x.option_name, '=', quote_literal(x.option_value)), ' '
                          order by x.option_name)
                   filter (where x.option_name in ('proxy', 'ca_cert')) as way
        from pg_options_to_table(coalesce(options, s.srvoptions)) x) o
    where s.srvname = server
$$;
comment on function ipai.secret_binding(text, text[]) is
    'The description that a secret in Vault must have so that runs send it to a server. It names '
    'the server, its address and its database, and has a SHA-256 digest of proxy and ca_cert if '
    'these options are set. options: by default those of the server.';

create or replace function ipai.require_vault(server text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
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
end
$$;
comment on function ipai.require_vault(text) is
    'Raises an error if there is no such Odoo server, or if the current user may not read Supabase '
    'Vault. For other functions.';

create or replace function ipai.mapped_secret(server text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mapping record;
    secret_name text;
begin
    perform ipai.require_vault(server);
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
    elsif secret_name = 'ipai_mask_key' then
        raise exception 'the secret "ipai_mask_key" is the key of masks'
            using errcode = 'invalid_parameter_value',
                  hint = format('alter user mapping for %s server %I '
                                'options (set password_secret %L);',
                                mapping.owner, server, 'odoo_' || server);
    end if;
    return secret_name;
end
$$;
comment on function ipai.mapped_secret(text) is
    'Name of the secret in Vault that the current user''s mapping for a server has. Raises an error '
    'if there is none, or if the current user may not read Vault. For other functions.';

create or replace function ipai.set_odoo_password(server text, secret text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    secret_name text;
    found record;
    binding text;
    is_trusted boolean;
begin
    if secret is null or secret = '' then
        raise exception 'the secret must not be empty'
            using errcode = 'invalid_parameter_value',
                  hint = 'Pass the password or an API key of the Odoo user.';
    end if;
    secret_name := ipai.mapped_secret(server);
    select s.id, s.description into found
    from vault.decrypted_secrets s where s.name = secret_name;
    -- Another role may have changed the address, or taken the name. It may do so at any moment, so
    -- the server is read once.
    select ipai.is_trusted(s.srvowner), ipai.secret_binding(server) into is_trusted, binding
    from pg_foreign_server s where s.srvname = server;
    if found.id is null and is_trusted then
        perform vault.create_secret(secret, secret_name, binding);
    elsif found.id is null then
        raise exception 'server "%" belongs to a role that "%" does not trust',
            server, current_user
            using errcode = 'insufficient_privilege',
                  detail = 'That role chooses the address that receives the secret.',
                  hint = format('Create the secret, and bind it to the address that you know: '
                                'select vault.create_secret(''...'', %L); '
                                'select ipai.bind_odoo_secret(%L, %L, ''https://...'');',
                                secret_name, server, secret_name);
    elsif found.description = binding
        or is_trusted and starts_with(
            found.description, format('Password of Odoo server "%s" at ', server)) then
        perform vault.update_secret(found.id, secret, new_description => binding);
    else
        raise exception 'secret "%" in Vault was not created for server "%"', secret_name, server
            using errcode = 'insufficient_privilege',
                  hint = concat('If it is meant for this server, bind it and repeat this call: ',
                                ipai.binding_remedy(server, secret_name),
                                ' If not, name another secret in the option password_secret of '
                                'the user mapping.');
    end if;
    return secret_name;
end
$$;
comment on function ipai.set_odoo_password(text, text) is
    'Stores the password or API key of a server''s user mapping in Supabase Vault, under the name '
    'in its option password_secret, and returns that name. The next run uses it. Changes only '
    'secrets that belong to this server, and creates one only for a server of a trusted role. '
    'Where statements are logged, the log shows the secret too: do not use the function there.';

create or replace function ipai.bind_odoo_secret(server text, secret_name text, url text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    known uuid;
    options text[];
begin
    perform ipai.require_vault(server);
    if secret_name = 'ipai_mask_key' or not exists (
        select from pg_user_mappings m, unnest(m.umoptions) o
        where m.srvname = server and o = 'password_secret=' || secret_name) then
        raise exception 'no user mapping for server "%" that you may read names the secret "%"',
            server, secret_name
            using errcode = 'invalid_parameter_value',
                  hint = 'Bind only a secret that is meant for this server. '
                         'select usename, umoptions from pg_user_mappings; shows the mappings.';
    end if;
    -- The owner may change the server at any moment, so its options are read once.
    select s.srvoptions into options from pg_foreign_server s where s.srvname = server;
    if not coalesce('url=' || url = any (options), false) then
        raise exception 'server "%" has another url', server
            using errcode = 'invalid_parameter_value',
                  detail = coalesce(
                      (select format('It is "%s".', x.option_value)
                       from pg_options_to_table(options) x where x.option_name = 'url'), ''),
                  hint = 'Bind the secret only if that address is meant to receive it.';
    elsif exists (
        select from pg_options_to_table(options) x, pg_foreign_server s
        where x.option_name in ('proxy', 'ca_cert')
          and s.srvname = server and ipai.is_trusted(s.srvowner) is not true) then
        raise exception 'server "%" has an option that decides which machine receives the secret',
            server
            using errcode = 'insufficient_privilege',
                  detail = format('It has the option proxy or ca_cert, and belongs to a role that '
                                  '"%s" does not trust.', current_user),
                  hint = 'Use a server that a trusted role owns.';
    end if;
    select s.id into known from vault.decrypted_secrets s where s.name = secret_name;
    if known is null then
        raise exception 'Vault has no secret named "%"', secret_name
            using errcode = 'undefined_object',
                  hint = format('select ipai.set_odoo_password(%L, ''...'');', server);
    end if;
    perform vault.update_secret(
        known, new_description => ipai.secret_binding(server, options));
    return ipai.secret_binding(server, options);
end
$$;
comment on function ipai.bind_odoo_secret(text, text, text) is
    'Lets runs send an existing secret of Supabase Vault to a server. secret_name is the name in a '
    'user mapping, url the address of the server, as the caller knows them: if the owner of the '
    'server has named others, or is not trusted and has set proxy or ca_cert, nothing is bound. '
    'Sets and returns the description of the secret. set_odoo_password() does this for a new '
    'secret.';

create or replace function ipai.binding_remedy(server text, secret_name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- The operator may paste the statement without reading the address in it.
    select case
        when ipai.is_trusted(s.srvowner)
            then format('select ipai.bind_odoo_secret(%L, %L, %L);', server, secret_name, o.url)
        else format('The server belongs to role "%s". If that role should receive this secret, '
                    'bind it with ipai.bind_odoo_secret(). If not: ',
                    pg_get_userbyid(s.srvowner))
            || case
                when exists (
                    select from pg_user_mappings m
                    where m.srvid = s.oid and m.usename = current_user)
                    then format('drop user mapping for current_user server %I;', server)
                else format('create user mapping for current_user server %I options (...);', server)
            end
    end
    from pg_foreign_server s
    cross join lateral (
        select max(x.option_value) as url
        from pg_options_to_table(s.srvoptions) x where x.option_name = 'url') o
    where s.srvname = server
$$;
comment on function ipai.binding_remedy(text, text) is
    'What to do about a secret that is not bound to a server. For other functions.';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
