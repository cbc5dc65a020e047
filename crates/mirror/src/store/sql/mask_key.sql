-- The key of masks in Supabase Vault.
select s.decrypted_secret from vault.decrypted_secrets s where s.name = 'ipai_mask_key'
