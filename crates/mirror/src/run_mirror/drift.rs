//! Which fields a run leaves out: those that Odoo no longer has, or cannot send.

use super::warnings::{warn_of_archived, warn_of_drift};
use super::{Host, Run};
use crate::Mirror;
use crate::definition::{ACTIVE_FIELDS, Mask, active_field, drift};
use crate::source::Fetcher;
use crate::store::{mirror_state, mirrors};
use crate::{Drift, Problem};
use ipai_odoo::error::Result;

impl Run {
    /// Asks Odoo for the mirrored fields, so that the run leaves out those that Odoo no longer has.
    /// Returns whether something changed.
    pub(super) fn check_drift(&mut self, host: &mut Host<'_>, fetcher: &Fetcher, reads_all: bool) -> Result<bool> {
        let model = self.mirror.scope.model.clone();
        let names = self.mirror.fields.iter().map(|map| map.field.as_str());
        let names: Vec<String> = names.chain(ACTIVE_FIELDS).map(str::to_owned).collect();
        let fields = fetcher.run(move |client| client.fields(&model, &names))?;
        let found = drift(&self.mirror.fields, &fields);
        let known = self.mirror.replace_drift(found, reads_all, self.start.resumed.is_some());
        if self.request.dry_run {
            return Ok(false);
        }
        for drift in self.mirror.drift.iter().filter(|drift| !known.contains(drift)) {
            warn_of_drift(host.session, &self.mirror, &drift.field, &drift.problem);
        }
        // What is stored may be unreadable, and was read as none.
        mirrors::set_drift(host.session, &self.mirror)?;
        let active = active_field(&fields);
        let is_new = mirrors::set_active_field(host.session, &self.mirror.name, active)?;
        if let Some(field) = active.filter(|_| is_new && self.mirror.active_field().is_none()) {
            warn_of_archived(host.session, &self.mirror, &field.name);
        }
        let changed = self.mirror.drift != known;
        if changed {
            self.renew_fingerprint(host, reads_all)?;
        }
        host.session.commit()?;
        Ok(changed)
    }

    fn renew_fingerprint(&mut self, host: &mut Host<'_>, restarts: bool) -> Result<()> {
        self.stored.fingerprint = mirror_state::load(host.session, &self.mirror)?.fingerprint;
        self.set_fingerprint(host, restarts)
    }

    /// Whether the run reads these fields, and others.
    pub(super) fn can_leave_out(&self, fields: &[String]) -> Result<bool> {
        let read = self.mirror.readable()?.fields;
        let left = read.iter().filter(|map| !fields.contains(&map.field)).count();
        Ok(0 < left && left < read.len())
    }

    /// Leaves out fields whose values XML-RPC cannot carry, until a full run can read them.
    pub(super) fn leave_out(&mut self, host: &mut Host<'_>, fields: &[String], reads_all: bool) -> Result<()> {
        for field in fields {
            warn_of_drift(host.session, &self.mirror, field, &Problem::Uncarried);
            self.mirror.drift.push(Drift { field: field.clone(), problem: Problem::Uncarried });
        }
        if self.request.dry_run {
            return Ok(());
        }
        mirrors::set_drift(host.session, &self.mirror)?;
        self.renew_fingerprint(host, reads_all)
    }

    /// Whether a run that reads these fields may leave columns of the table empty.
    pub(super) fn leaves_empty(&self, read: &Mirror) -> bool {
        let is_redacted = self.mirror.masks.fields.values().any(|mask| *mask == Mask::Redact);
        read.fields.len() < self.mirror.fields.len() || is_redacted || !self.mirror.constants.is_empty()
    }
}
