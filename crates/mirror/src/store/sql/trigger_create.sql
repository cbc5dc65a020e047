create trigger {trigger} before update on {table}
for each row when (old.* is distinct from new.*)
execute function {schema}.{trigger}()
