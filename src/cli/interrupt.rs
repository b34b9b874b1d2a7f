//! Ctrl-C, for the commands that want to finish what they are at and say how far they came.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

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

    /// Whether Ctrl-C was pressed.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
