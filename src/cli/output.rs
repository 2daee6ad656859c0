//! The one door to the terminal: results to standard output, all else to standard error.
//!
//! With `--json` a command prints one JSON value and nothing for people. A reader that hangs up ends the program
//! quietly.

use core::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::error::CliError;

/// Where results go, and in which form.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

/// Names of fields are set at least so wide, so that what several commands print lines up.
const MIN_NAME_WIDTH: usize = 14;

/// Of what is right.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Of what is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Of what deserves a look.
pub(super) const CARE: Style = AnsiColor::Yellow.on_default();
/// Of what is said by the way.
pub(super) const QUIET: Style = Style::new().dimmed();

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// A result: as JSON where that is asked for, else as people read it.
    pub(super) fn result(&self, json: &impl Serialize, human: impl FnOnce(&Self)) {
        if self.json {
            let text = serde_json::to_string_pretty(json).expect("results are maps with text keys");
            write(anstream::stdout().lock(), text);
        } else {
            human(self);
        }
    }

    /// A line for people.
    #[expect(clippy::unused_self, reason = "what is printed goes through this value")]
    pub(super) fn line(&self, text: impl Display) {
        write(anstream::stdout().lock(), text);
    }

    /// Names and values, one pair a line.
    pub(super) fn fields(&self, fields: &[(&str, String)]) {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max(MIN_NAME_WIDTH);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(format_args!("{QUIET}{name:width$}{QUIET:#}  {value}"));
        }
    }

    /// Rows under a header.
    pub(super) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().map(|name| name.to_uppercase()));
        table.add_rows(rows);
        table.column_iter_mut().for_each(|column| {
            column.set_padding((0, 2));
        });
        self.line(table.trim_fmt());
    }

    /// Something to know, beside the results.
    pub(super) fn note(&self, text: impl Display) {
        if !self.json {
            write(anstream::stderr().lock(), format_args!("{QUIET}{text}{QUIET:#}"));
        }
    }

    /// Something to act on, beside the results.
    #[expect(clippy::unused_self, reason = "what is printed goes through this value")]
    pub(super) fn warn(&self, text: impl Display) {
        write(anstream::stderr().lock(), format_args!("{CARE}warning:{CARE:#} {text}"));
    }

    /// Why the command failed.
    pub(super) fn error(&self, error: &CliError) {
        if self.json {
            let json = serde_json::json!({
                "error": { "code": error.code(), "detail": error.to_string(), "hint": error.hint_text() }
            });
            write(anstream::stderr().lock(), json);
            return;
        }
        write(anstream::stderr().lock(), format_args!("{BAD}error:{BAD:#} {error}"));
        if let Some(hint) = error.hint_text() {
            write(anstream::stderr().lock(), format_args!("{CARE}hint:{CARE:#}  {hint}"));
        }
    }

    /// A bar on a terminal, nothing elsewhere.
    pub(super) fn progress(&self, len: u64, template: &str) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template).expect("templates are literals of this program");
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// A mark and a colour for what held, or did not.
pub(super) const fn mark(held: bool) -> (&'static str, Style) {
    if held { ("✓", GOOD) } else { ("✗", BAD) }
}

fn write(mut to: impl Write, text: impl Display) {
    match writeln!(to, "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        _ => {}
    }
}
