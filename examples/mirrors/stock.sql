-- Stock by location, transfers and their moves.
--
-- Needs the Odoo module `stock`, and a foreign server with a user mapping: see the README. Run it
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
            ('product.template', '{name,type,list_price,categ_id,sale_ok,company_id,active}'),
            ('product.product', '{product_tmpl_id,default_code,barcode,active}'),
            ('stock.location', '{complete_name,usage,location_id,company_id,active}'),
            ('stock.quant',
             '{product_id,location_id,quantity,reserved_quantity,in_date,company_id}'),
            ('stock.picking',
             '{name,state,partner_id,origin,scheduled_date,date_done,location_id,
                 location_dest_id,company_id}'),
            ('stock.move',
             '{picking_id,product_id,product_uom_qty,quantity,state,date,location_id,
                 location_dest_id,company_id}'))
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
from unnest('{res_partner,product_template,stock_location,stock_quant,stock_picking,stock_move}'::text[]) m;

-- Every signed-in user reads the tables that belong to no company.
do $$
declare
    name text;
begin
    foreach name in array '{res_country,res_currency,product_product}'::text[] loop
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
    foreach name in array '{res_partner,res_country,res_currency,product_template,product_product,stock_location,stock_quant,stock_picking,stock_move}'::text[] loop
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

create or replace view ipai.stock_by_location with (security_invoker = true) as
    select q.product_id, t.name as product, p.default_code, l.complete_name as location,
           sum(q.quantity) as on_hand, sum(q.reserved_quantity) as reserved,
           sum(q.quantity - q.reserved_quantity) as available
    from ipai.stock_quant q
    join ipai.stock_location l on l.odoo_id = q.location_id
    left join ipai.product_product p on p.odoo_id = q.product_id
    left join ipai.product_template t on t.odoo_id = p.product_tmpl_id
    where l.usage = 'internal'
    group by q.product_id, t.name, p.default_code, l.complete_name;
comment on view ipai.stock_by_location is
    'Quantities in internal locations, in the unit of the product. Shows the rows that the caller '
    'may see.';
grant select on ipai.stock_by_location to authenticated;

-- Schedule ----------------------------------------------------------------------------------------

-- The first run reads everything. To start it at once: call ipai.run_sync();
select ipai.schedule_sync(m, '*/15 * * * *')
from unnest('{res_partner,res_country,res_currency,product_template,product_product,stock_location,stock_quant,stock_picking,stock_move}'::text[]) m;
