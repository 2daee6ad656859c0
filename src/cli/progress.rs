//! A bar on a terminal for work that goes through a whole log.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use crate::log::Progress;

/// Shows how far work has come, on standard error where that is a terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(doing: &'static str, quiet: bool) -> Self {
        if quiet || !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} entries, {eta} left");
        let bar = ProgressBar::no_length().with_message(doing);
        // The template is one; without it the default bar is shown.
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    pub(super) fn show(&self, progress: Progress) {
        self.0.set_length(progress.of.get());
        self.0.set_position(progress.entries.get());
    }

    /// Prints something while the bar is out of the way.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
