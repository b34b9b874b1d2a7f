//! Promise: who interrupts a TICK waits for the objects at hand only; what it did stays done, the rest is as it was, and it says how
//! far it got.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use patinadb::codecs::{Degraded, Depth, Limits, Params};
use patinadb::objects::{CodecTransform, Transform};
use patinadb::query::InterruptHandle;
use patinadb::{ManualClock, MemVfs, Patina, PutOptions, StoreOptions, Timestamp, Value, days};

const OBJECTS: i64 = 40;

/// Interrupts the session in the middle of a transform, once.
#[derive(Default)]
struct Interrupting {
    codecs: CodecTransform,
    transforms: AtomicUsize,
    session: OnceLock<InterruptHandle>,
}

impl Transform for Interrupting {
    fn degrade(
        &self,
        bytes: &[u8],
        media_type: &str,
        depth: Depth,
        params: &Params,
        limits: &Limits,
    ) -> Result<Degraded, String> {
        if self.transforms.fetch_add(1, Ordering::SeqCst) == 2
            && let Some(session) = self.session.get()
        {
            session.interrupt();
        }
        self.codecs.degrade(bytes, media_type, depth, params, limits)
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

#[test]
fn a_session_is_told_how_far_it_got_and_the_next_tick_does_the_rest() {
    for (sql, rest) in [("TICK", "the rest is for the next TICK"), ("TICK FORCE", "the rest stays as it is")]
    {
        let transform = Arc::new(Interrupting::default());
        let clock = ManualClock::new(Timestamp(1_767_225_600_000));
        let options =
            StoreOptions { transform: Arc::clone(&transform) as Arc<dyn Transform>, ..Default::default() };
        let builder = Patina::builder().vfs(Arc::new(MemVfs::new())).clock(clock.clone());
        let db = builder.store_options(options).open("db").unwrap();
        let text = "The lighthouse warns ships off the rocks. It has done so for years. ".repeat(20);
        let item = |n| (format!("{n}.txt"), format!("Number {n}. {text}").into(), PutOptions::default());
        db.objects().put_many((0..OBJECTS).map(item).collect::<Vec<_>>()).unwrap();
        clock.advance(days(61));
        let mut session = db.session().unwrap();
        transform.session.set(session.interrupt_handle()).unwrap();

        let result = session.query(sql, &[]).unwrap().remove(0);
        let message = result.outcome.message.unwrap();
        assert!(
            message.contains("interrupted: what was begun is done") && message.contains(rest),
            "{message}"
        );
        let moved = number(&result.rows[0][1]);
        assert!((3..OBJECTS / 2).contains(&moved), "{message}");
        assert!(message.starts_with(&format!("{moved} objects moved")), "{message}");
        let warm = session.query("SELECT count(*) FROM objects WHERE stage = 1", &[]).unwrap();
        assert_eq!(number(&warm[0].rows[0][0]), moved);
        db.objects().verify_history().unwrap();

        let message = session.query("TICK", &[]).unwrap().remove(0).outcome.message.unwrap();
        assert_eq!(message, format!("{} objects moved", OBJECTS - moved));
    }
}

/// Until a process has asked to be told of Ctrl-C, it would just die of it.
#[cfg(target_os = "linux")]
fn wait_until_it_listens(process: u32) {
    const SIGINT: u64 = 1 << 1;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        if u64::from_str_radix(caught, 16).unwrap() & SIGINT != 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_ends_the_command_well() {
    use crate::sandbox::{Sandbox, sample};
    use std::process::{Command, Stdio};

    let sandbox = Sandbox::new();
    let prose = String::from_utf8(sample("gpl-3.txt")).unwrap();
    for n in 0..OBJECTS {
        sandbox.file(&format!("texts/{n}.txt"), format!("Copy {n}\n\n{prose}").as_bytes());
    }
    sandbox.prints(&["import", "texts"]);
    let mut command = sandbox.command(&["tick", "--force", "--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_it_listens(child.id());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let warm = sandbox.objects().iter().filter(|object| object["stage"] == 1).count() as i64;
    assert_eq!(report["moved"], warm);
    assert!(warm == OBJECTS || report["stopped"] == true, "{report}");
}
