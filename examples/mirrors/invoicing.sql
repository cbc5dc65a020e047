-- Invoices, their items and payments, with customers.
--
-- Needs the Odoo module `account`, and a foreign server with a user mapping: see the README. Run it
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
            ('res.currency', '{name,symbol,active}'),
            ('account.journal', '{name,code,type,company_id,active}'),
            ('account.move',
             '{name,move_type,state,payment_state,date,invoice_date,invoice_date_due,
                 partner_id,company_id,currency_id,journal_id,ref,amount_untaxed,
                 amount_total,amount_residual,amount_residual_signed}'),
            ('account.move.line',
             '{move_id,account_id,partner_id,product_id,name,date,date_maturity,debit,
                 credit,balance,amount_residual,company_id}'))
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
from unnest('{res_partner,account_journal,account_move,account_move_line}'::text[]) m;

-- Every signed-in user reads the tables that belong to no company.
do $$
declare
    name text;
begin
    foreach name in array '{res_country,res_currency}'::text[] loop
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
    foreach name in array '{res_partner,res_country,res_currency,account_journal,account_move,account_move_line}'::text[] loop
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

create or replace view ipai.receivables_by_age with (security_invoker = true) as
    select m.company_id, m.partner_id, p.name as customer,
           sum(m.amount_residual_signed) as total,
           sum(m.amount_residual_signed) filter (where a.days <= 0) as not_due,
           sum(m.amount_residual_signed) filter (where a.days between 1 and 30) as days_1_to_30,
           sum(m.amount_residual_signed) filter (where a.days between 31 and 60) as days_31_to_60,
           sum(m.amount_residual_signed) filter (where a.days between 61 and 90) as days_61_to_90,
           sum(m.amount_residual_signed) filter (where a.days > 90) as days_over_90
    from ipai.account_move m
    cross join lateral (
        select current_date - coalesce(m.invoice_date_due, m.invoice_date) as days) a
    left join ipai.res_partner p on p.odoo_id = m.partner_id
    where m.move_type in ('out_invoice', 'out_refund') and m.state = 'posted'
      and m.amount_residual_signed <> 0
    group by m.company_id, m.partner_id, p.name;
comment on view ipai.receivables_by_age is
    'What customers owe on posted invoices less refunds, by days since the due date, in the '
    'currency of the company. Shows the rows that the caller may see.';
grant select on ipai.receivables_by_age to authenticated;

-- Schedule ----------------------------------------------------------------------------------------

-- The first run reads everything. To start it at once: call ipai.run_sync();
select ipai.schedule_sync(m, '*/15 * * * *')
from unnest('{res_partner,res_country,res_currency,account_journal,account_move,account_move_line}'::text[]) m;
