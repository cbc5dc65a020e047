//! `jsonb` as an argument. pgrx's own type panics on what serde_json cannot read (1e400, 128 levels); this one tells.

use ipai_odoo::error::{Error, Result, SqlState};
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::FromDatum;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{direct_function_call, pg_sys};
use std::ffi::CStr;

/// The text of a `jsonb`.
pub struct JsonText(String);

impl JsonText {
    /// The value, or an error that names the argument.
    pub fn parse(&self, argument: &str) -> Result<serde_json::Value> {
        serde_json::from_str(&self.0).map_err(|error| {
            Error::user(
                SqlState::InvalidParameter,
                format!("the JSON of {argument} cannot be used: {error}"),
            )
            .with_hint("Numbers must be within double precision, and lists nested less than 128 levels deep.")
        })
    }
}

impl FromDatum for JsonText {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the datum is a jsonb, and the text ends in a zero byte.
        let text = unsafe { direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)])? };
        Some(JsonText(text.to_string_lossy().into_owned()))
    }
}

// SAFETY: the argument is a jsonb, as the types below say, and read by `FromDatum`.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // Never null here: every argument of this type is an Option.
        // SAFETY: the argument is a jsonb.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(JsonText(String::new()))
    }
}

// SAFETY: it is a jsonb.
unsafe impl SqlTranslatable for JsonText {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(JsonText);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}
