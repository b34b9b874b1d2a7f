//! A bar for what takes a while: shown on a terminal only, and only once a second has passed.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// A bar over bytes, or a spinner while nobody knows how many there are.
pub struct Progress {
    bar: ProgressBar,
    shown: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_message(what);
        Self { bar, shown: false }
    }

    /// So far has it come, of so much if that is known.
    pub fn at(&mut self, done: u64, total: Option<u64>) {
        if !self.shown && self.bar.elapsed() >= PATIENCE && io::stderr().is_terminal() {
            self.shown = true;
            let template = match total {
                Some(_) => "{msg} {bar:40} {bytes} of {total_bytes}, {eta} left",
                None => "{spinner} {msg} {bytes}, {bytes_per_sec}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }

    /// Runs what cannot say how far it has come, behind a spinner.
    pub fn spin<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
        if !io::stderr().is_terminal() {
            return work();
        }
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        spinner.set_message(what);
        let show = || {
            spinner.set_draw_target(ProgressDrawTarget::stderr());
            spinner.enable_steady_tick(Duration::from_millis(100));
        };
        let result = after(PATIENCE, show, work);
        spinner.finish_and_clear();
        result
    }
}

/// Does the work; if it takes longer than `patience`, also `show`, once, on another thread.
fn after<T>(patience: Duration, show: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    let (running, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                show();
            }
        });
        // Dropped also if the work panics: the thread ends.
        let _running = running;
        work()
    })
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quick_shows_nothing() {
        let (shown, showing) = mpsc::channel();
        assert_eq!(after(Duration::from_secs(60), move || shown.send(()).unwrap(), || 7), 7);
        assert!(showing.recv().is_err(), "it was shown");
    }

    #[test]
    fn what_takes_a_while_is_shown_while_it_runs() {
        let (shown, showing) = mpsc::channel();
        let work = || showing.recv_timeout(Duration::from_secs(60));
        assert_eq!(after(Duration::from_millis(1), move || shown.send(()).unwrap(), work), Ok(()));
    }
}
