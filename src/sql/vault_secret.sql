-- The secret $1 of Supabase Vault, whether it may be sent to the server $2 with the options $3, and
-- what to do if not.
select s.decrypted_secret,
    coalesce(s.description = ipai.secret_binding($2, $3), false),
    ipai.binding_remedy($2, $1)
from vault.decrypted_secrets s
where s.name = $1
