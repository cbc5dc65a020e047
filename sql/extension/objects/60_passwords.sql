-- Where the passwords of Odoo servers are stored, for ipai.doctor().

-- The owner of the schema may have created objects in it. None of them may be called here.
set local search_path = pg_catalog, pg_temp;

create or replace function ipai.password_state(server text)
returns table (state text, finding text, remedy text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    mapping record;
    secret_name text;
    plain_for_all boolean;
    readers text;
begin
    select exists (
        select from pg_user_mappings m, unnest(m.umoptions) o
        where m.srvname = server and m.umuser = 0 and o like 'password=%')
    into plain_for_all;
    select m.umuser = 0 as for_all, m.umoptions as options into mapping
    from pg_user_mappings m
    where m.srvname = server and (m.umuser = 0 or m.usename = current_user)
    order by m.umuser = 0
    limit 1;
    if not found then
        state := 'problem';
        finding := 'this role has no user mapping';
        remedy := format('create user mapping for current_user server %I '
                         'options (user ''...'', password_secret %L);',
                         server, 'odoo_' || server);
        return next;
        return;
    elsif plain_for_all then
        state := 'problem';
        finding := 'the user mapping for PUBLIC has a plain password: every role with USAGE on the '
                   'server could use it, and dumps show it. Runs refuse it';
        remedy := case
            when not mapping.for_all
                then format('drop user mapping for public server %I;', server)
            when ipai.has_vault()
                then format('alter user mapping for public server %1$I '
                            'options (drop password, add password_secret %2$L); '
                            'select ipai.set_odoo_password(%3$L, ''...'');',
                            server, 'odoo_' || server, server)
            else format('drop user mapping for public server %1$I; '
                        'create user mapping for current_user server %1$I '
                        'options (user ''...'', password ''...'');', server)
        end;
        return next;
        return;
    elsif mapping.options is null then
        state := 'unknown';
        finding := 'this role may not read the options of the user mapping';
        return next;
        return;
    end if;
    select substr(o, length('password_secret=') + 1) into secret_name
    from unnest(mapping.options) o where o like 'password_secret=%';
    if secret_name is null then
        -- Members of pg_read_all_data may read the catalog of user mappings. The predefined roles
        -- themselves cannot log in.
        select string_agg(quote_ident(r.rolname), ', ' order by r.rolname) into readers
        from pg_roles r
        where not r.rolsuper and r.rolname <> current_user and r.rolname !~ '^pg_'
          and has_column_privilege(r.oid, 'pg_catalog.pg_user_mapping', 'umoptions', 'select');
        state := case when readers is null then 'ok' else 'problem' end;
        finding := concat(
            'the user mapping of this role has a plain password; dumps show it',
            '; roles that can read it: ' || readers);
        remedy := case
            when readers is null then null
            when ipai.has_vault()
                then format('alter user mapping for current_user server %1$I '
                            'options (drop password, add password_secret %2$L); '
                            'select ipai.set_odoo_password(%3$L, ''...'');',
                            server, 'odoo_' || server, server)
            when exists (
                select from pg_available_extensions e where e.name = 'supabase_vault')
                then 'create extension supabase_vault;'
            else 'Revoke pg_read_all_data, or SELECT on pg_user_mapping, from these roles.'
        end;
    elsif not ipai.has_vault() then
        state := 'problem';
        finding := 'the user mapping names a secret of Supabase Vault, which is not installed';
        remedy := 'create extension supabase_vault;';
    elsif not has_schema_privilege('vault', 'usage')
        or not has_table_privilege('vault.decrypted_secrets', 'select') then
        state := 'problem';
        finding := 'this role may not read Supabase Vault: run syncs as postgres or service_role';
        remedy := format('grant usage on schema vault to %1$I; '
                         'grant select on vault.decrypted_secrets to %1$I;', current_user);
    elsif not exists (select from vault.decrypted_secrets s where s.name = secret_name) then
        state := 'problem';
        finding := format('Vault has no secret named "%s"', secret_name);
        remedy := format('select ipai.set_odoo_password(%L, ''...'');', server);
    elsif not exists (
        select from vault.decrypted_secrets s
        where s.name = secret_name and s.description = ipai.secret_binding(server)) then
        state := 'problem';
        finding := format('the secret "%s" in Vault is not bound to this server with its address: '
                          'runs do not send it', secret_name);
        remedy := ipai.binding_remedy(server, secret_name);
    else
        state := 'ok';
        -- A past owner of the server may have set them.
        select concat(format('the password is in Vault, as "%s"', secret_name),
                      '; the server sends it ' || string_agg(
                          case x.option_name
                              when 'proxy' then format('through the proxy %s', x.option_value)
                              else 'to machines that its ca_cert vouches for'
                          end, ' and ' order by x.option_name desc))
        into finding
        from pg_foreign_server s
        left join lateral pg_options_to_table(s.srvoptions) x
            on x.option_name in ('proxy', 'ca_cert')
        where s.srvname = server;
    end if;
    return next;
end
$$;
comment on function ipai.password_state(text) is
    'Where the current user''s password for a server is stored. For ipai.doctor().';

-- pgrx writes its functions without a schema.
set local search_path = ipai, pg_temp;
