//! `create-mirror`, `alter-mirror`, `refresh-mirror` and `drop-mirror`.

use super::{Context, Failed, json_argument};
use crate::arguments::{CreateMirror, Options};
use crate::output::{print_json, print_line, print_rows, shell_word};
use ipai_mirror::manage::{self, Request};
use ipai_mirror::store::options::MirrorOptions;
use serde_json::{Map, Value, json};

/// Creates a mirror, and prints its fields.
pub fn create(context: &Context, arguments: &CreateMirror) -> Result<(), Failed> {
    let request = Request {
        model: arguments.model.clone(),
        target: arguments.target.clone(),
        name: arguments.name.clone(),
        fields: arguments.fields.clone(),
        columns: json_argument("columns", arguments.columns.as_deref())?,
        constants: json_argument("constants", arguments.constants.as_deref())?,
        options: options(&arguments.options)?,
    };
    let (mirror, defined) = context.with_session(|session| Ok(manage::create(session, &context.settings, request)?))?;
    let row = |field: &ipai_mirror::definition::Defined| {
        Map::from_iter([
            ("field".to_owned(), json!(field.map.field)),
            ("column".to_owned(), json!(field.map.column)),
            ("type".to_owned(), json!(field.map.kind.sql())),
            ("label".to_owned(), json!(field.label)),
        ])
    };
    let fields = defined.iter().map(row).collect();
    let (name, target) = (&mirror.name, mirror.target.display());
    if context.as_json {
        print_json(&json!({"mirror": name, "target": target, "fields": fields}))?;
        return Ok(());
    }
    print_line(&format!("Created mirror {name} of {} into {target}.", mirror.scope.model));
    print_rows(&fields, false)?;
    print_line(&format!("To fill it: ipai-sync run {}", shell_word(name)));
    Ok(())
}

/// Changes options of a mirror.
pub fn alter(context: &Context, mirror: &str, changed: &Options) -> Result<(), Failed> {
    let options = options(changed)?;
    context.with_session(|session| Ok(manage::alter(session, &context.settings, mirror, &options)?))?;
    done(context, &format!("Altered mirror {mirror}."))
}

/// Compares the fields of a mirror with Odoo's.
pub fn refresh(context: &Context, mirror: &str, add: &[String], drop: &[String]) -> Result<(), Failed> {
    let rows =
        context.with_session(|session| Ok(manage::refresh(session, &context.settings, mirror, add.to_vec(), drop)?))?;
    let rows = rows.into_iter().map(|row| {
        let note = match row.status {
            // Odoo chooses the name.
            "new" => Some(format!("--add-fields {} mirrors it", shell_word(&row.field))),
            _ => row.note,
        };
        Map::from_iter([
            ("field".to_owned(), json!(row.field)),
            ("column".to_owned(), json!(row.column)),
            ("type".to_owned(), json!(row.column_type)),
            ("status".to_owned(), json!(row.status)),
            ("note".to_owned(), json!(note)),
        ])
    });
    Ok(print_rows(&rows.collect(), context.as_json)?)
}

/// Drops a mirror.
pub fn drop(context: &Context, mirror: &str, drop_table: bool) -> Result<(), Failed> {
    context.with_session(|session| Ok(manage::drop_mirror(session, mirror, drop_table)?))?;
    done(context, &format!("Dropped mirror {mirror}."))
}

fn done(context: &Context, text: &str) -> Result<(), Failed> {
    match context.as_json {
        true => print_json(&Value::Object(Map::new()))?,
        false => print_line(text),
    }
    Ok(())
}

fn options(options: &Options) -> Result<MirrorOptions, Failed> {
    let options = MirrorOptions {
        server: options.server.clone(),
        domain: json_argument("domain", options.domain.as_deref())?,
        lang: options.lang.clone(),
        company_ids: options.company_ids.clone(),
        page_size: options.page_size,
        overlap: options.overlap.clone(),
        reconcile_every: options.reconcile_every.clone(),
        max_delete_ratio: options.max_delete_ratio,
        enabled: options.enabled,
        flag_field: options.flag_field.clone(),
        late_after: options.late_after.clone(),
        max_failures: options.max_failures,
        max_delta: options.max_delta,
        max_flagged_ratio: options.max_flagged_ratio,
        keep_runs: options.keep_runs.clone(),
        max_rejects: options.max_rejects,
        masks: json_argument("masks", options.masks.as_deref())?,
        on_delete: options.on_delete.clone(),
    };
    Ok(options)
}
