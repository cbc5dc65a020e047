//! Receives arguments of type `jsonb`. pgrx's own type panics if serde_json cannot read the value
//! (1e400, 128 levels); this one returns an error.

use ipai_mirror::refusal::invalid;
use ipai_odoo::error::Result;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::FromDatum;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{direct_function_call, pg_sys};
use std::ffi::CStr;

/// The text of a `jsonb` argument.
pub struct JsonText(String);

impl JsonText {
    /// Parses the value. An error names the argument.
    pub fn parse(&self, argument: &str) -> Result<serde_json::Value> {
        serde_json::from_str(&self.0).map_err(|error| {
            invalid(
                format!("invalid JSON in argument {argument}: {error}"),
                "Use numbers within double precision, and nest lists and objects less than 128 levels deep.",
            )
        })
    }
}

impl FromDatum for JsonText {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller passes a jsonb, and jsonb_out returns a C string.
        let text = unsafe { direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)]) }?;
        Some(JsonText(text.to_string_lossy().into_owned()))
    }
}

// SAFETY: the SQL type is jsonb, as SqlTranslatable declares below, and `FromDatum` reads it.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // The value is never null here, because every argument of this type is an Option.
        // SAFETY: the caller passes an argument of this type.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(JsonText(String::new()))
    }
}

// SAFETY: the SQL type is jsonb, which FromDatum above reads.
unsafe impl SqlTranslatable for JsonText {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(JsonText);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: std::result::Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: std::result::Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}
