//! Ctrl-C, for the commands that want to finish what they are at and say how far they came.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long Ctrl-C may go unnoticed.
const NAP: Duration = Duration::from_millis(50);

/// Set once Ctrl-C was pressed.
#[derive(Clone)]
pub struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// From now on the first Ctrl-C calls `then` and sets the flag; the second ends the process, which the
    /// database survives like any crash.
    pub fn on_ctrl_c(then: impl Fn() + Send + 'static) -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&flag);
        ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::SeqCst) {
                process::exit(1);
            }
            then();
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(Self(flag))
    }

    /// Waits so long, or until Ctrl-C. Says whether it was pressed.
    pub fn wait(&self, period: Duration) -> bool {
        let mut left = period;
        while !left.is_zero() && !self.is_set() {
            let nap = left.min(NAP);
            thread::sleep(nap);
            left -= nap;
        }
        self.is_set()
    }

    /// What Ctrl-C sets.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether Ctrl-C was pressed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
