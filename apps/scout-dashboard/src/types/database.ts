
export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {
  
  "ipai": {
          Tables: {
            "followers": {
                  Row: {
                    "mirrors": (string)[],"polled_at": string | null,"problem": string | null,"server": string,"since": string
                  }
                  ComputedFields: never
                  Insert: {
                    "mirrors": (string)[],"polled_at"?: string | null,"problem"?: string | null,"server": string,"since": string
                  }
                  Update: {
                    "mirrors"?: (string)[],"polled_at"?: string | null,"problem"?: string | null,"server"?: string,"since"?: string
                  }
                  Relationships: [
                    
                  ]
                },"ipai_sample_metrics": {
                  Row: {
                    "active": boolean,"brand_id": number | null,"code": string,"date": string | null,"id": number,"inserted_at": string,"is_alert": boolean,"name": string,"notes": string | null,"odoo_id": number | null,"store_id": number | null,"unit": string,"updated_at": string,"value": number
                  }
                  ComputedFields: never
                  Insert: {
                    "active"?: boolean,"brand_id"?: number | null,"code": string,"date"?: string | null,"id"?: number,"inserted_at"?: string,"is_alert"?: boolean,"name": string,"notes"?: string | null,"odoo_id"?: number | null,"store_id"?: number | null,"unit": string,"updated_at"?: string,"value"?: number
                  }
                  Update: {
                    "active"?: boolean,"brand_id"?: number | null,"code"?: string,"date"?: string | null,"id"?: number,"inserted_at"?: string,"is_alert"?: boolean,"name"?: string,"notes"?: string | null,"odoo_id"?: number | null,"store_id"?: number | null,"unit"?: string,"updated_at"?: string,"value"?: number
                  }
                  Relationships: [
                    
                  ]
                },"mirror_objects": {
                  Row: {
                    "mirror": string,"owner": unknown,"relation": unknown,"server": unknown
                  }
                  ComputedFields: never
                  Insert: {
                    "mirror": string,"owner": unknown,"relation": unknown,"server"?: unknown
                  }
                  Update: {
                    "mirror"?: string,"owner"?: unknown,"relation"?: unknown,"server"?: unknown
                  }
                  Relationships: [
                    {
      foreignKeyName: "mirror_objects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "mirrors"
      referencedColumns: ["name"]
    },{
      foreignKeyName: "mirror_objects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "sync_alerts"
      referencedColumns: ["mirror"]
    },{
      foreignKeyName: "mirror_objects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "sync_count_delta"
      referencedColumns: ["mirror"]
    },{
      foreignKeyName: "mirror_objects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "sync_status"
      referencedColumns: ["mirror"]
    }
                  ]
                },"mirror_state": {
                  Row: {
                    "active_field": string | null,"alerts": (string)[],"cursor": string | null,"degraded": string | null,"degraded_since": string | null,"drift": NonNullable<Json>,"filled_as": string | null,"filled_company": string | null,"filled_from": string | null,"fingerprint": string | null,"has_write_date": boolean,"key_expires": string | null,"mirror": string,"safe_page_size": number | null,"settled_id": number | null,"token": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "active_field"?: string | null,"alerts"?: (string)[],"cursor"?: string | null,"degraded"?: string | null,"degraded_since"?: string | null,"drift"?: NonNullable<Json>,"filled_as"?: string | null,"filled_company"?: string | null,"filled_from"?: string | null,"fingerprint"?: string | null,"has_write_date"?: boolean,"key_expires"?: string | null,"mirror": string,"safe_page_size"?: number | null,"settled_id"?: number | null,"token"?: string | null
                  }
                  Update: {
                    "active_field"?: string | null,"alerts"?: (string)[],"cursor"?: string | null,"degraded"?: string | null,"degraded_since"?: string | null,"drift"?: NonNullable<Json>,"filled_as"?: string | null,"filled_company"?: string | null,"filled_from"?: string | null,"fingerprint"?: string | null,"has_write_date"?: boolean,"key_expires"?: string | null,"mirror"?: string,"safe_page_size"?: number | null,"settled_id"?: number | null,"token"?: string | null
                  }
                  Relationships: [
                    {
      foreignKeyName: "mirror_state_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "mirrors"
      referencedColumns: ["name"]
    },{
      foreignKeyName: "mirror_state_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "sync_alerts"
      referencedColumns: ["mirror"]
    },{
      foreignKeyName: "mirror_state_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "sync_count_delta"
      referencedColumns: ["mirror"]
    },{
      foreignKeyName: "mirror_state_mirror_fkey"
      columns: ["mirror"]
isOneToOne: true
      referencedRelation: "sync_status"
      referencedColumns: ["mirror"]
    }
                  ]
                },"mirrors": {
                  Row: {
                    "company_ids": (number)[],"constants": NonNullable<Json>,"created_at": string,"domain": NonNullable<Json>,"enabled": boolean,"fields": NonNullable<Json>,"flag_field": string | null,"keep_runs": string,"lang": string | null,"late_after": string,"masks": NonNullable<Json>,"max_age": string | null,"max_delete_ratio": number,"max_delta": number,"max_failures": number,"max_flagged_ratio": number,"max_rejects": number,"model": string,"name": string,"on_delete": string,"overlap": string,"page_size": number,"reconcile_every": string,"relations": NonNullable<Json>,"schedule": string | null,"scheduled_at": string | null,"scheduled_by": string | null,"server": string | null,"target_schema": unknown,"target_table": unknown
                  }
                  ComputedFields: never
                  Insert: {
                    "company_ids"?: (number)[],"constants"?: NonNullable<Json>,"created_at"?: string,"domain"?: NonNullable<Json>,"enabled"?: boolean,"fields": NonNullable<Json>,"flag_field"?: string | null,"keep_runs"?: string,"lang"?: string | null,"late_after"?: string,"masks"?: NonNullable<Json>,"max_age"?: string | null,"max_delete_ratio"?: number,"max_delta"?: number,"max_failures"?: number,"max_flagged_ratio"?: number,"max_rejects"?: number,"model": string,"name": string,"on_delete"?: string,"overlap"?: string,"page_size"?: number,"reconcile_every"?: string,"relations"?: NonNullable<Json>,"schedule"?: string | null,"scheduled_at"?: string | null,"scheduled_by"?: string | null,"server"?: string | null,"target_schema": unknown,"target_table": unknown
                  }
                  Update: {
                    "company_ids"?: (number)[],"constants"?: NonNullable<Json>,"created_at"?: string,"domain"?: NonNullable<Json>,"enabled"?: boolean,"fields"?: NonNullable<Json>,"flag_field"?: string | null,"keep_runs"?: string,"lang"?: string | null,"late_after"?: string,"masks"?: NonNullable<Json>,"max_age"?: string | null,"max_delete_ratio"?: number,"max_delta"?: number,"max_failures"?: number,"max_flagged_ratio"?: number,"max_rejects"?: number,"model"?: string,"name"?: string,"on_delete"?: string,"overlap"?: string,"page_size"?: number,"reconcile_every"?: string,"relations"?: NonNullable<Json>,"schedule"?: string | null,"scheduled_at"?: string | null,"scheduled_by"?: string | null,"server"?: string | null,"target_schema"?: unknown,"target_table"?: unknown
                  }
                  Relationships: [
                    
                  ]
                },"odoo_logins": {
                  Row: {
                    "addon": boolean | null,"addon_problem": string | null,"addon_tried_at": string | null,"database_uuid": string | null,"dbname": string,"login": string,"uid": number,"url": string,"xmlrpc_until": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "addon"?: boolean | null,"addon_problem"?: string | null,"addon_tried_at"?: string | null,"database_uuid"?: string | null,"dbname": string,"login": string,"uid": number,"url": string,"xmlrpc_until"?: string | null
                  }
                  Update: {
                    "addon"?: boolean | null,"addon_problem"?: string | null,"addon_tried_at"?: string | null,"database_uuid"?: string | null,"dbname"?: string,"login"?: string,"uid"?: number,"url"?: string,"xmlrpc_until"?: string | null
                  }
                  Relationships: [
                    
                  ]
                },"run_log": {
                  Row: {
                    "bound": string | null,"complete": boolean,"cursor_after": string | null,"cursor_before": string | null,"deleted": number,"detail": string | null,"fetched": number,"fingerprint": string | null,"finished_at": string | null,"flags": (string)[] | null,"hint": string | null,"inserted": number,"latency": string | null,"message": string | null,"mirror": string,"mirror_active": number | null,"mirror_count": number | null,"mirror_flagged": number | null,"mode": string,"newest": string | null,"odoo_active": number | null,"odoo_clock": string | null,"odoo_count": number | null,"odoo_flagged": number | null,"pages": number,"pid": number,"position": number,"resumes": number | null,"run": number,"seconds_waiting": number,"seconds_writing": number,"sqlstate": string | null,"started_at": string,"state": string,"token": string | null,"total": number | null,"unchanged": number,"updated": number
                  }
                  ComputedFields: never
                  Insert: {
                    "bound"?: string | null,"complete"?: boolean,"cursor_after"?: string | null,"cursor_before"?: string | null,"deleted"?: number,"detail"?: string | null,"fetched"?: number,"fingerprint"?: string | null,"finished_at"?: string | null,"flags"?: (string)[] | null,"hint"?: string | null,"inserted"?: number,"latency"?: string | null,"message"?: string | null,"mirror": string,"mirror_active"?: number | null,"mirror_count"?: number | null,"mirror_flagged"?: number | null,"mode": string,"newest"?: string | null,"odoo_active"?: number | null,"odoo_clock"?: string | null,"odoo_count"?: number | null,"odoo_flagged"?: number | null,"pages"?: number,"pid"?: number,"position"?: number,"resumes"?: number | null,"run"?: never,"seconds_waiting"?: number,"seconds_writing"?: number,"sqlstate"?: string | null,"started_at"?: string,"state": string,"token"?: string | null,"total"?: number | null,"unchanged"?: number,"updated"?: number
                  }
                  Update: {
                    "bound"?: string | null,"complete"?: boolean,"cursor_after"?: string | null,"cursor_before"?: string | null,"deleted"?: number,"detail"?: string | null,"fetched"?: number,"fingerprint"?: string | null,"finished_at"?: string | null,"flags"?: (string)[] | null,"hint"?: string | null,"inserted"?: number,"latency"?: string | null,"message"?: string | null,"mirror"?: string,"mirror_active"?: number | null,"mirror_count"?: number | null,"mirror_flagged"?: number | null,"mode"?: string,"newest"?: string | null,"odoo_active"?: number | null,"odoo_clock"?: string | null,"odoo_count"?: number | null,"odoo_flagged"?: number | null,"pages"?: number,"pid"?: number,"position"?: number,"resumes"?: number | null,"run"?: never,"seconds_waiting"?: number,"seconds_writing"?: number,"sqlstate"?: string | null,"started_at"?: string,"state"?: string,"token"?: string | null,"total"?: number | null,"unchanged"?: number,"updated"?: number
                  }
                  Relationships: [
                    
                  ]
                },"sync_rejects": {
                  Row: {
                    "field": string | null,"last_tried": string,"message": string,"mirror": string,"odoo_id": number,"refused": string,"since": string,"sqlstate": string
                  }
                  ComputedFields: never
                  Insert: {
                    "field"?: string | null,"last_tried"?: string,"message": string,"mirror": string,"odoo_id": number,"refused": string,"since"?: string,"sqlstate": string
                  }
                  Update: {
                    "field"?: string | null,"last_tried"?: string,"message"?: string,"mirror"?: string,"odoo_id"?: number,"refused"?: string,"since"?: string,"sqlstate"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "sync_rejects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: false
      referencedRelation: "mirrors"
      referencedColumns: ["name"]
    },{
      foreignKeyName: "sync_rejects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: false
      referencedRelation: "sync_alerts"
      referencedColumns: ["mirror"]
    },{
      foreignKeyName: "sync_rejects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: false
      referencedRelation: "sync_count_delta"
      referencedColumns: ["mirror"]
    },{
      foreignKeyName: "sync_rejects_mirror_fkey"
      columns: ["mirror"]
isOneToOne: false
      referencedRelation: "sync_status"
      referencedColumns: ["mirror"]
    }
                  ]
                }
          }
          Views: {
            "sample_metrics_count_delta": {
                  Row: {
                    "alerts_delta": number | null,"checked_at": string | null,"delta": number | null,"last_poll": string | null,"live": boolean | null,"mirror_active": number | null,"mirror_alerts": number | null,"mirror_archived": number | null,"mirror_total": number | null,"odoo_active": number | null,"odoo_alerts": number | null,"odoo_archived": number | null,"odoo_total": number | null,"verdict": string | null
                  }
                  ComputedFields: never
                  Relationships: [
                    
                  ]
                },"sync_alerts": {
                  Row: {
                    "hint": string | null,"kind": string | null,"message": string | null,"mirror": string,"severity": number | null,"since": string | null
                  }
                  ComputedFields: never
                  Relationships: [
                    
                  ]
                },"sync_count_delta": {
                  Row: {
                    "checked_at": string | null,"delta": number | null,"last_poll": string | null,"live": boolean | null,"mirror": string,"mirror_active": number | null,"mirror_archived": number | null,"mirror_total": number | null,"odoo_active": number | null,"odoo_archived": number | null,"odoo_total": number | null,"verdict": string | null
                  }
                  ComputedFields: never
                  Relationships: [
                    
                  ]
                },"sync_runs": {
                  Row: {
                    "bound": string | null,"cursor_after": string | null,"cursor_before": string | null,"deleted": number,"detail": string | null,"fetched": number,"finished_at": string | null,"hint": string | null,"inserted": number,"message": string | null,"mirror": string,"mirror_count": number | null,"mode": string,"newest": string | null,"odoo_clock": string | null,"odoo_count": number | null,"pages": number,"pid": number,"position": number,"resumes": number | null,"run": number,"seconds_waiting": number,"seconds_writing": number,"sqlstate": string | null,"started_at": string,"state": string | null,"total": number | null,"unchanged": number,"updated": number
                  }
                  ComputedFields: never
                  Insert: {
                           "bound"?: string | null,"cursor_after"?: string | null,"cursor_before"?: string | null,"deleted"?: number | null,"detail"?: string | null,"fetched"?: number | null,"finished_at"?: string | null,"hint"?: string | null,"inserted"?: number | null,"message"?: string | null,"mirror"?: string | null,"mirror_count"?: number | null,"mode"?: string | null,"newest"?: string | null,"odoo_clock"?: string | null,"odoo_count"?: number | null,"pages"?: number | null,"pid"?: number | null,"position"?: number | null,"resumes"?: number | null,"run"?: number | null,"seconds_waiting"?: number | null,"seconds_writing"?: number | null,"sqlstate"?: string | null,"started_at"?: string | null,"state"?: never,"total"?: number | null,"unchanged"?: number | null,"updated"?: number | null
                         }
                        Update: {
                           "bound"?: string | null,"cursor_after"?: string | null,"cursor_before"?: string | null,"deleted"?: number | null,"detail"?: string | null,"fetched"?: number | null,"finished_at"?: string | null,"hint"?: string | null,"inserted"?: number | null,"message"?: string | null,"mirror"?: string | null,"mirror_count"?: number | null,"mode"?: string | null,"newest"?: string | null,"odoo_clock"?: string | null,"odoo_count"?: number | null,"pages"?: number | null,"pid"?: number | null,"position"?: number | null,"resumes"?: number | null,"run"?: number | null,"seconds_waiting"?: number | null,"seconds_writing"?: number | null,"sqlstate"?: string | null,"started_at"?: string | null,"state"?: never,"total"?: number | null,"unchanged"?: number | null,"updated"?: number | null
                         }
                        Relationships: [
                    
                  ]
                },"sync_status": {
                  Row: {
                    "age": string | null,"delta": number | null,"enabled": boolean,"failing_since": string | null,"failures": number | null,"followed_since": string | null,"last_error": string | null,"last_error_at": string | null,"last_failed_run": number | null,"last_poll": string | null,"last_sqlstate": string | null,"last_success": string | null,"late": boolean | null,"latency": string | null,"mirror": string,"model": string,"next_due": string | null,"progress": string | null,"rejects": number | null,"rows": number | null,"run": number | null,"schedule": string | null,"server": string | null,"state": string | null,"target": string | null
                  }
                  ComputedFields: never
                  Relationships: [
                    
                  ]
                }
          }
          Functions: {
            "alter_mirror":
{ Args: { "company_ids"?: (number)[],"domain"?: Json,"enabled"?: boolean,"flag_field"?: string,"keep_runs"?: string,"lang"?: string,"late_after"?: string,"masks"?: Json,"max_delete_ratio"?: number,"max_delta"?: number,"max_failures"?: number,"max_flagged_ratio"?: number,"max_rejects"?: number,"mirror": string,"on_delete"?: string,"overlap"?: string,"page_size"?: number,"reconcile_every"?: string,"server"?: string }; Returns: undefined
                           },
"api_exposure":
{ Args: { "target": unknown }; Returns: {
              "grantee": string,"privileges": string,"revoke": string
            }[]
                           },
"app_claim":
{ Args: { "claim": string }; Returns: Json
                           },
"bind_odoo_secret":
{ Args: { "secret_name": string,"server": string,"url": string }; Returns: string
                           },
"binding_remedy":
{ Args: { "secret_name": string,"server": string }; Returns: string
                           },
"check_connection":
{ Args: { "server"?: string }; Returns: {
              "addon": boolean,"addon_problem": string,"dbname": string,"hint": string,"key_expires": string,"latency_ms": number,"login": string,"model": string,"odoo_version": string,"problem": string,"protocol": string,"readable": boolean,"records": number,"secret": string,"server": string,"uid": number,"url": string
            }[]
                           },
"claimed_id_ranges":
{ Args: { "claim": string }; Returns: unknown
                           },
"claimed_texts":
{ Args: { "claim": string }; Returns: (string)[]
                           },
"claims_all":
{ Args: { "claim": string }; Returns: boolean
                           },
"command_hint":
{ Args: { "for_program"?: boolean,"hint": string }; Returns: string
                           },
"create_claims_helpers":
{ Args: Record<PropertyKey, never>; Returns: undefined
                           },
"create_mirror":
{ Args: { "columns"?: Json,"company_ids"?: (number)[],"constants"?: Json,"domain"?: Json,"enabled"?: boolean,"fields"?: (string)[],"flag_field"?: string,"lang"?: string,"masks"?: Json,"max_delete_ratio"?: number,"max_rejects"?: number,"name"?: string,"odoo_model": string,"on_delete"?: string,"overlap"?: string,"page_size"?: number,"reconcile_every"?: string,"server"?: string,"target"?: string }; Returns: {
              "column": string,"column_type": string,"field": string,"label": string,"mirror": string,"target": string
            }[]
                           },
"cron_gap":
{ Args: { "field": string,"highest": number,"last": number,"lowest": number }; Returns: number
                           },
"doctor":
{ Args: { "include_ok"?: boolean }; Returns: {
              "check": string,"finding": string,"object": string,"remedy": string,"state": string
            }[]
                           },
"drop_mirror":
{ Args: { "drop_table"?: boolean,"mirror": string }; Returns: undefined
                           },
"drop_relations":
{ Args: { "target"?: unknown }; Returns: undefined
                           },
"expect_sync":
{ Args: { "mirror": string,"schedule": string }; Returns: string
                           },
"follow_objects":
{ Args: { "mirror": string }; Returns: undefined
                           },
"has_cron":
{ Args: Record<PropertyKey, never>; Returns: boolean
                           },
"has_vault":
{ Args: Record<PropertyKey, never>; Returns: boolean
                           },
"ipai_odoo_validator":
{ Args: { "catalog": unknown,"options": (string)[] }; Returns: undefined
                           },
"is_replaced_server":
{ Args: { "mirror": string,"runner"?: unknown,"server": string }; Returns: boolean
                           },
"is_trusted":
{ Args: { "owner": unknown,"runner"?: unknown }; Returns: boolean
                           },
"lock_table":
{ Args: { "mode"?: string,"relation": unknown,"target_schema": unknown,"target_table": unknown }; Returns: undefined
                           },
"mapped_secret":
{ Args: { "server": string }; Returns: string
                           },
"metric_facets":
{ Args: { "metric": string }; Returns: {
              "brands": (number)[],"first_date": string,"last_date": string,"name": string,"records": number,"stores": (number)[],"unit": string,"units": (string)[]
            }[]
                           },
"metric_series":
{ Args: { "brand"?: number,"max_points"?: number,"metric": string,"of_unit"?: string,"since"?: string,"store"?: number,"until"?: string }; Returns: {
              "alerts": number,"date": string,"records": number,"value": number
            }[]
                           },
"metrics_context":
{ Args: { "alerts_only"?: boolean,"max_bytes"?: number,"search"?: string }; Returns: Json
                           },
"metrics_overview":
{ Args: { "alerts_only"?: boolean,"max_cards"?: number,"max_points"?: number,"search"?: string,"skip"?: number }; Returns: {
              "alerting": number,"alerts": number,"code": string,"complete": boolean,"date": string,"name": string,"newest_date": string,"point_dates": (string)[],"point_values": (number)[],"previous_date": string,"previous_value": number,"records": number,"total": number,"unit": string,"updated_at": string,"value": number
            }[]
                           },
"mirror_tables":
{ Args: Record<PropertyKey, never>; Returns: {
              "granted": string,"identified": boolean,"policies": number,"published": boolean,"readable": boolean,"relrowsecurity": boolean,"revoke": string,"target": string
            }[]
                           },
"notify_alerts":
{ Args: Record<PropertyKey, never>; Returns: number
                           },
"odoo_call":
{ Args: { "args"?: Json,"kwargs"?: Json,"method": string,"model": string,"server": string }; Returns: Json
                           },
"odoo_fields":
{ Args: { "model"?: string,"server"?: string }; Returns: {
              "by_default": boolean,"column_type": string,"field": string,"label": string,"mirrored_as": (string)[],"note": string,"odoo_type": string,"relation": string,"required": boolean,"stored": boolean
            }[]
                           },
"odoo_models":
{ Args: { "server"?: string }; Returns: {
              "label": string,"mirrored_as": (string)[],"model": string
            }[]
                           },
"odoo_version":
{ Args: { "server"?: string }; Returns: string
                           },
"password_state":
{ Args: { "server": string }; Returns: {
              "finding": string,"remedy": string,"state": string
            }[]
                           },
"planned_relations":
{ Args: Record<PropertyKey, never>; Returns: {
              "condition": string,"field": string,"kind": string,"mirror": string,"name": string,"related": unknown,"related_mirror": string,"target": unknown
            }[]
                           },
"protect_mirror":
{ Args: { "archived"?: boolean,"claims": Json,"mirror": string }; Returns: string
                           },
"refresh_counts":
{ Args: { "mirror"?: string }; Returns: {
              "delta": number,"mirror": string,"mirror_total": number,"odoo_total": number
            }[]
                           },
"refresh_mirror":
{ Args: { "add_fields"?: (string)[],"drop_fields"?: (string)[],"mirror": string }; Returns: {
              "column": string,"column_type": string,"field": string,"note": string,"status": string
            }[]
                           },
"register_mirror":
{ Args: { "mirror": string }; Returns: undefined
                           },
"register_sample_metrics":
{ Args: Record<PropertyKey, never>; Returns: boolean
                           },
"relate_mirrors":
{ Args: { "mirror"?: string }; Returns: Record<string, unknown>[]
                           },
"related_functions":
{ Args: { "target"?: unknown }; Returns: {
              "argument": unknown,"function": unknown,"name": string,"result": unknown
            }[]
                           },
"require_cron":
{ Args: Record<PropertyKey, never>; Returns: undefined
                           },
"require_mirror":
{ Args: { "mirror": string }; Returns: undefined
                           },
"require_trusted":
{ Args: { "targets": (unknown)[] }; Returns: undefined
                           },
"require_vault":
{ Args: { "server": string }; Returns: undefined
                           },
"restore_schedules":
{ Args: Record<PropertyKey, never>; Returns: {
              "job": number,"mirror": string,"problem": string,"schedule": string
            }[]
                           },
"schedule_interval":
{ Args: { "schedule": string }; Returns: string
                           },
"schedule_sync":
{ Args: { "mirror": string,"schedule": string }; Returns: number
                           },
"secret_binding":
{ Args: { "options"?: (string)[],"server": string }; Returns: string
                           },
"set_odoo_password":
{ Args: { "secret": string,"server": string }; Returns: string
                           },
"stored_expression":
{ Args: { "classid": unknown,"objid": unknown }; Returns: string
                           },
"sync_mirror":
{ Args: { "dry_run"?: boolean,"max_delete_ratio"?: number,"max_rows"?: number,"mirror": string,"since"?: string }; Returns: {
              "deleted": number,"delta": number,"dry_run": boolean,"fetched": number,"inserted": number,"mirror": string,"mirror_count": number,"mode": string,"odoo_count": number,"run": number,"seconds": number,"unchanged": number,"updated": number
            }[]
                           },
"sync_now":
{ Args: { "mirror": string }; Returns: number
                           },
"sync_sample_metrics":
{ Args: { "dry_run"?: boolean,"max_rows"?: number,"since"?: string }; Returns: {
              "deleted": number,"delta": number,"dry_run": boolean,"fetched": number,"inserted": number,"mirror": string,"mirror_count": number,"mode": string,"odoo_count": number,"run": number,"seconds": number,"unchanged": number,"updated": number
            }[]
                           },
"unschedule_sync":
{ Args: { "mirror": string }; Returns: boolean
                           },
"untrusted_code":
{ Args: { "runner"?: unknown,"target": unknown }; Returns: {
              "object": string,"owner": string,"problem": string,"remedy": string
            }[]
                           },
"untrusted_code_of":
{ Args: { "runner"?: unknown,"targets": (unknown)[] }; Returns: {
              "object": string,"owner": string,"problem": string,"remedy": string
            }[]
                           },
"verify_server":
{ Args: { "mirror": string,"server": string }; Returns: undefined
                           },
"verify_tables":
{ Args: { "mirrors": (string)[],"writes"?: boolean }; Returns: (unknown)[]
                           }
          }
          Enums: {
            [_ in never]: never
          }
          CompositeTypes: {
            [_ in never]: never
          }
        }
}

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "ipai">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
  ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R
    }
    ? R
    : never
  : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I
    }
    ? I
    : never
  : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U
    }
    ? U
    : never
  : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
  ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
  ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never

export const Constants = {
  "ipai": {
          Enums: {
            
          }
        }
} as const
