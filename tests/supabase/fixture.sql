-- Makes the database "postgres" of a plain PostgreSQL cluster look like a Supabase project, for tests: its roles and what they may do,
-- its schemas, and what the project works with (Vault, pg_cron, Realtime's publication, PostgREST's schema-cache trigger). Nothing here
-- encrypts or serves anything.
--
-- Run once, as the bootstrap superuser, in a cluster made with `initdb -U supabase_admin`.
--   psql -v auto_expose=on   grants the API roles every new table in `public`, as projects made before May 2026 do.

\set ON_ERROR_STOP on
\if :{?auto_expose} \else \set auto_expose off \endif

-- Roles -----------------------------------------------------------------------------------------------------------------------------
-- On Supabase `postgres` is not a superuser. It makes some objects before it is demoted, at the end of this file.
create role postgres superuser login;
alter database postgres owner to postgres;

create role anon                    nologin;
create role authenticated           nologin;
create role service_role            nologin bypassrls;
-- PostgREST connects as authenticator and becomes one of the three, as the token says.
create role authenticator           login noinherit;
grant anon, authenticated, service_role to authenticator;

create role supabase_auth_admin     login noinherit createrole;
create role supabase_storage_admin  login noinherit createrole;
create role supabase_realtime_admin login noinherit createrole replication;
create role supabase_read_only_user login bypassrls;
grant pg_read_all_data to supabase_read_only_user;
create role dashboard_user          nosuperuser createdb createrole replication;

alter role anon           set statement_timeout = '3s';
alter role authenticated  set statement_timeout = '8s';
alter role authenticator  set statement_timeout = '8s';
alter role authenticator  set lock_timeout = '8s';
alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role postgres       set search_path = "$user", public, extensions;

-- Schemas and Realtime's publication, made by postgres --------------------------------------------------------------------------------
set role postgres;
create publication supabase_realtime;
create schema extensions;
grant usage on schema extensions to postgres, anon, authenticated, service_role;
grant usage on schema public     to postgres, anon, authenticated, service_role;
create extension pgcrypto    with schema extensions;
create extension "uuid-ossp" with schema extensions;
reset role;

-- Default privileges in public --------------------------------------------------------------------------------------------------------
-- What supabase_admin makes in public is open to the API roles, anon too. An extension's script runs as supabase_admin.
alter default privileges for role supabase_admin in schema public grant all on tables    to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public grant all on sequences to postgres, anon, authenticated, service_role;
\if :auto_expose
alter default privileges for role postgres in schema public grant all on tables    to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public grant all on sequences to postgres, anon, authenticated, service_role;
\endif

-- Auth --------------------------------------------------------------------------------------------------------------------------------
create schema auth authorization supabase_admin;
grant usage on schema auth to anon, authenticated, service_role, postgres;

create table auth.users (id uuid primary key, email text unique, "role" text, raw_app_meta_data jsonb);

create function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;

create function auth.role() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
  )
$$;

create function auth.email() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
  )
$$;

create function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

grant all on all tables in schema auth to postgres, dashboard_user;

-- Vault: the interface of supabase_vault 0.3, with base64 where the real one encrypts ---------------------------------------------------
create schema vault;

create table vault.secrets (
  id          uuid        primary key default gen_random_uuid(),
  name        text,
  description text        not null default '',
  secret      text        not null,
  key_id      uuid,
  nonce       bytea       default extensions.gen_random_bytes(16),
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now()
);
create unique index on vault.secrets (name) where name is not null;

create view vault.decrypted_secrets as
  select id, name, description, secret,
         convert_from(decode(secret, 'base64'), 'utf8') as decrypted_secret,
         key_id, nonce, created_at, updated_at
    from vault.secrets;

create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid language sql security definer set search_path = '' as $$
  insert into vault.secrets (secret, name, description)
  values (encode(convert_to(new_secret, 'utf8'), 'base64'), new_name, new_description)
  returning id
$$;

create function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
  new_key_id uuid default null
) returns void language sql security definer set search_path = '' as $$
  update vault.secrets s
     set secret      = coalesce(encode(convert_to(new_secret, 'utf8'), 'base64'), s.secret),
         name        = coalesce(new_name, s.name),
         description = coalesce(new_description, s.description),
         updated_at  = now()
   where s.id = secret_id
$$;

revoke execute on all functions in schema vault from public;
grant usage on schema vault to postgres with grant option;
grant usage on schema vault to service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
grant execute on all functions in schema vault to postgres with grant option;
grant execute on all functions in schema vault to service_role;

-- Realtime and Storage: nothing in them is needed here ----------------------------------------------------------------------------------
create schema realtime authorization supabase_admin;
grant usage on schema realtime to postgres, anon, authenticated, service_role;
create schema storage authorization supabase_admin;
grant usage on schema storage to postgres, anon, authenticated, service_role;

-- pg_cron, where the server preloads it -------------------------------------------------------------------------------------------------
select current_setting('shared_preload_libraries') like '%pg_cron%' as has_cron \gset
\if :has_cron
create extension pg_cron with schema pg_catalog;
grant usage on schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
-- Jobs are changed through pg_cron's functions only.
revoke all on table cron.job from postgres;
grant select on table cron.job to postgres with grant option;
revoke trigger on cron.job_run_details from postgres;
\endif

-- PostgREST reloads its schema cache after DDL --------------------------------------------------------------------------------------------
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  if exists (
    select from pg_event_trigger_ddl_commands() as command
     where command.command_tag ~ '^(CREATE|ALTER|COMMENT)' and command.schema_name is distinct from 'pg_temp'
  ) then
    notify pgrst, 'reload schema';
  end if;
end
$$;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();

-- Demote postgres -------------------------------------------------------------------------------------------------------------------------
grant all on database postgres to postgres, dashboard_user;
grant all on schema extensions, auth to postgres;
grant pg_read_all_data, pg_signal_backend, pg_monitor to postgres;
-- From 16 on, CREATEROLE alone does not allow postgres to grant these roles. Supabase adds the option from that version on.
select current_setting('server_version_num')::int >= 160000 as needs_admin_option \gset
\if :needs_admin_option
grant anon, authenticated, service_role to postgres with admin option;
\else
grant anon, authenticated, service_role to postgres;
\endif
alter role postgres nosuperuser createdb createrole login replication bypassrls;
