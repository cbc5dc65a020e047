"""Names the functions of the extension that only Postgres or other functions call."""

INTERNAL = {
    "ipai_odoo_validator",
    # Checks
    *("require_mirror", "has_cron", "require_cron", "has_vault", "password_state", "mirror_tables", "api_exposure"),
    # Hints
    "command_hint",
    # Schedules
    *("schedule_interval", "cron_gap"),
    # Trust
    *(
        "is_trusted",
        "untrusted_code",
        "untrusted_code_of",
        "require_trusted",
        "lock_table",
        "verify_tables",
        "is_replaced_server",
        "verify_server",
    ),
    *("follow_objects", "stored_expression"),
    # Relations
    *("planned_relations", "related_functions", "drop_relations"),
    # Vault and claims
    *("require_vault", "mapped_secret", "secret_binding", "binding_remedy", "create_claims_helpers"),
}
