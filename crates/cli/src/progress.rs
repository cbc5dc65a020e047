//! Shows messages and the progress of runs on the standard error: bars on a terminal, lines
//! otherwise.

use crate::output::{shown, with_commands};
use crate::session::Console;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use ipai_mirror::engine::Progress;
use ipai_mirror::progress::ProgressNotice;
use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The standard error.
pub struct Screen {
    verbose: bool,
    /// Whether to show no progress.
    quiet: bool,
    shown: Mutex<Shown>,
}

/// What the screen shows of the current run.
struct Shown {
    is_terminal: bool,
    mirror: String,
    bar: Option<ProgressBar>,
    notice: ProgressNotice,
}

impl Screen {
    /// `quiet` shows no progress, for callers who read the standard output.
    pub fn new(verbose: bool, quiet: bool) -> Self {
        let is_terminal = stderr().is_terminal() && !verbose;
        let shown = Shown { is_terminal, mirror: String::new(), bar: None, notice: ProgressNotice::default() };
        Screen { verbose, quiet, shown: Mutex::new(shown) }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the bar of a run that has ended.
    pub fn clear(&self) {
        if let Some(bar) = self.shown().bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints a line above the bar.
    pub fn print(&self, line: &str) {
        match &self.shown().bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Console for Screen {
    fn message(&self, level: &str, message: &str, hint: Option<&str>) {
        if level != "WARNING" && !self.verbose {
            return;
        }
        self.print(&format!("{level}:  {}", shown(message)));
        if let Some(hint) = hint {
            self.print(&format!("HINT:  {}", shown(&with_commands(hint))));
        }
    }

    fn progress(&self, mirror: &str, progress: &Progress) {
        if self.quiet {
            return;
        }
        let mut shown = self.shown();
        if self.verbose {
            let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
            eprintln!("{mirror}: page {}, {}{total} records", progress.pages, progress.fetched);
        } else if shown.is_terminal {
            if shown.mirror != mirror || shown.bar.is_none() {
                if let Some(bar) = shown.bar.take() {
                    bar.finish_and_clear();
                }
                shown.bar = Some(bar(mirror));
                mirror.clone_into(&mut shown.mirror);
            }
            if let Some(bar) = &shown.bar {
                bar.set_length(progress.total.unwrap_or(progress.fetched).max(progress.fetched));
                bar.set_position(progress.fetched);
            }
        } else if let Some(text) = shown.notice.text(mirror, progress) {
            eprintln!("{text}");
        }
    }
}

fn bar(mirror: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{msg} [{bar:30}] {human_pos} of {human_len} records, {rate} records/s, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            // The screen does not fail.
            let _ = write!(out, "{:.0}", state.per_sec());
        };
        bar.set_style(style.with_key("rate", rate).progress_chars("=> "));
    }
    bar.set_message(mirror.to_owned());
    bar
}
