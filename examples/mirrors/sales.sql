-- Sales orders with their lines, customers and products.
--
-- Needs the Odoo module `sale`, and a foreign server with a user mapping: see the README. Run it
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
            ('sale.order',
             '{name,state,date_order,partner_id,company_id,currency_id,
                 client_order_ref,invoice_status,amount_untaxed,amount_total}'),
            ('sale.order.line',
             '{order_id,product_id,name,display_type,product_uom_qty,qty_delivered,
                 qty_invoiced,price_unit,price_subtotal,company_id}'))
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
from unnest('{res_partner,product_template,sale_order,sale_order_line}'::text[]) m;

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
    foreach name in array '{res_partner,res_country,res_currency,product_template,product_product,sale_order,sale_order_line}'::text[] loop
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

create or replace view ipai.open_orders with (security_invoker = true) as
    select o.odoo_id as order_id, o.name, o.date_order, p.name as customer,
           o.amount_total, c.name as currency,
           sum(l.product_uom_qty - l.qty_delivered) as quantity_to_deliver,
           sum((l.product_uom_qty - l.qty_delivered) * l.price_unit) as value_to_deliver
    from ipai.sale_order o
    join ipai.sale_order_line l on l.order_id = o.odoo_id
    left join ipai.res_partner p on p.odoo_id = o.partner_id
    left join ipai.res_currency c on c.odoo_id = o.currency_id
    where o.state = 'sale' and l.display_type is null and l.product_uom_qty > l.qty_delivered
    group by o.odoo_id, o.name, o.date_order, p.name, o.amount_total, c.name;
comment on view ipai.open_orders is
    'Confirmed orders with something left to deliver: quantities in the units of the lines, values '
    'before discounts and taxes, in the currency of the order. Shows the rows that the caller may '
    'see.';
grant select on ipai.open_orders to authenticated;

-- Schedule ----------------------------------------------------------------------------------------

-- The first run reads everything. To start it at once: call ipai.run_sync();
select ipai.schedule_sync(m, '*/15 * * * *')
from unnest('{res_partner,res_country,res_currency,product_template,product_product,sale_order,sale_order_line}'::text[]) m;
