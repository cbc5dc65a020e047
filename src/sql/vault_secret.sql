-- The secret $1 of Supabase Vault, whether it may be sent to the server $2 with the options $3, and
-- what to do if not.
select s.decrypted_secret, b.is_bound, case when not b.is_bound then ipai.binding_remedy($2, $1) end
from vault.decrypted_secrets s
cross join lateral (select coalesce(s.description = ipai.secret_binding($2, $3), false)) b (is_bound)
where s.name = $1
