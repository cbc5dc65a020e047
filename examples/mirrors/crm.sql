-- The sales pipeline: opportunities by stage and team.
--
-- Needs the Odoo module `crm`, and a foreign server with a user mapping: see the README. Run it
-- as postgres. It may be repeated, and shares mirrors with the other files of this folder.

-- Mirrors -----------------------------------------------------------------------------------------

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('res.partner', '{name,email,phone,is_company,parent_id,country_id,company_id,active}'),
            ('res.country', '{name,code}'),
            ('crm.stage', '{name,sequence,is_won}'),
            ('crm.team', '{name,company_id,active}'),
            ('crm.tag', '{name}'),
            ('crm.lead',
             '{name,type,partner_id,stage_id,team_id,tag_ids,expected_revenue,
                 probability,date_deadline,create_date,company_id,active}'))
            as w (model, fields)
        where not exists (select from ipai.mirrors m where m.model = w.model)
    loop
        perform ipai.create_mirror(wanted.model, fields => wanted.fields::text[]);
    end loop;
end
$$;

-- Privileges --------------------------------------------------------------------------------------

-- Signed-in users see the rows of the companies in their token's app_metadata.ipai_company_ids, and
-- rows without a company.
select ipai.protect_mirror(m, '{"company_id": "ipai_company_ids"}')
from unnest('{res_partner,crm_team,crm_lead}'::text[]) m;

-- Every signed-in user reads the tables that belong to no company.
do $$
declare
    name text;
begin
    foreach name in array '{res_country,crm_stage,crm_tag}'::text[] loop
        execute format('alter table ipai.%I enable row level security', name);
        execute format('drop policy if exists everyone_reads on ipai.%I', name);
        execute format('create policy everyone_reads on ipai.%I for select to authenticated '
                       'using (true)', name);
        execute format('grant select on ipai.%I to authenticated', name);
    end loop;
end
$$;

-- Relations that the API embeds: select=*,partner(name) -------------------------------------------

select * from ipai.relate_mirrors();

-- Realtime ----------------------------------------------------------------------------------------

do $$
declare
    name text;
begin
    foreach name in array '{res_partner,res_country,crm_stage,crm_team,crm_tag,crm_lead}'::text[] loop
        if not exists (
            select from pg_publication_tables p
            where p.pubname = 'supabase_realtime' and p.schemaname = 'ipai' and p.tablename = name)
        then
            execute format('alter publication supabase_realtime add table ipai.%I', name);
        end if;
    end loop;
end
$$;

-- Views -------------------------------------------------------------------------------------------

create or replace view ipai.pipeline with (security_invoker = true) as
    select l.company_id, t.name as team, s.sequence, s.name as stage, count(*) as opportunities,
           sum(l.expected_revenue) as expected_revenue,
           sum(l.expected_revenue * l.probability / 100) as weighted_revenue
    from ipai.crm_lead l
    left join ipai.crm_stage s on s.odoo_id = l.stage_id
    left join ipai.crm_team t on t.odoo_id = l.team_id
    where l.type = 'opportunity' and l.active
    group by l.company_id, t.name, s.sequence, s.name;
comment on view ipai.pipeline is
    'Open opportunities by team and stage: expected revenue, and weighted by probability, in the '
    'currency of the company. Shows the rows that the caller may see.';
grant select on ipai.pipeline to authenticated;

-- Schedule ----------------------------------------------------------------------------------------

-- The first run reads everything. To start it at once: call ipai.run_sync();
select ipai.schedule_sync(m, '*/15 * * * *')
from unnest('{res_partner,res_country,crm_stage,crm_team,crm_tag,crm_lead}'::text[]) m;
