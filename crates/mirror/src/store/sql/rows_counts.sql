-- Counts the rows, those that are not archived, and those with the flag set; null without such a
-- column.
select count(*), {active}, {flagged} from {only}{table} where odoo_id is not null{mine}{live}
