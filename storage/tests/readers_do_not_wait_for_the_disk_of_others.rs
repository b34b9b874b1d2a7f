//! Promise: a read that waits for the disk holds no lock that anybody else needs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use parking_lot::{Condvar, Mutex};
use patina_storage::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// Which file's reads wait, and how many do.
#[derive(Default)]
struct Gate {
    closed_for: Mutex<(Option<String>, usize)>,
    changed: Condvar,
}

impl Gate {
    fn close_for(&self, name: &str) {
        self.closed_for.lock().0 = Some(name.to_owned());
    }

    fn open(&self) {
        self.closed_for.lock().0 = None;
        self.changed.notify_all();
    }

    fn pass(&self, name: &str) {
        let mut state = self.closed_for.lock();
        while state.0.as_deref() == Some(name) {
            state.1 += 1;
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
    }

    fn wait_for_a_reader(&self) {
        let mut state = self.closed_for.lock();
        while state.1 == 0 {
            self.changed.wait(&mut state);
        }
    }
}

/// Reads of one file wait at the gate.
struct Gated(Arc<Gate>);

impl VfsHooks for Gated {
    fn before(&self, call: VfsCall, path: &Path) -> io::Result<()> {
        if call == VfsCall::Read {
            self.0.pass(&path.file_name().unwrap().to_string_lossy());
        }
        Ok(())
    }
}

#[test]
fn a_read_that_waits_for_the_disk_holds_up_nobody() {
    let (vfs, gate) = (MemVfs::new(), Arc::new(Gate::default()));
    let options = Options { l0_tables_trigger: 50, l0_tables_slowdown: 100, ..Options::default() };
    let gated = vfs.hooked(Gated(gate.clone()));
    let db = Db::open_with(Arc::new(gated), "db".as_ref(), options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::default()).unwrap();
    keyspace.put("slow", "1").unwrap();
    db.flush().unwrap();
    let slow = vfs.list("db".as_ref()).unwrap().into_iter().find(|name| name.ends_with(".sst")).unwrap();
    keyspace.put("fast", "1").unwrap();
    db.flush().unwrap();
    gate.close_for(&slow);
    let waiting = {
        let keyspace = keyspace.clone();
        std::thread::spawn(move || keyspace.get(b"slow").unwrap())
    };
    gate.wait_for_a_reader();
    let (done, others) = mpsc::channel();
    let work = std::thread::spawn(move || {
        let snapshot = db.snapshot();
        keyspace.put("new", "1").unwrap();
        assert_eq!(keyspace.get(b"new").unwrap().unwrap(), "1");
        assert_eq!(snapshot.get(&keyspace, b"fast").unwrap().unwrap(), "1");
        keyspace.delete_range(b"new".to_vec()..b"o".to_vec()).unwrap();
        db.flush().unwrap();
        assert_eq!(keyspace.range(b"f".to_vec()..b"g".to_vec()).next().unwrap().unwrap().key(), "fast");
        let _ = db.stats();
        done.send(()).unwrap();
    });
    let outcome = others.recv_timeout(Duration::from_secs(60));
    gate.open();
    assert!(outcome.is_ok(), "something waits for another's read");
    work.join().unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), "1");
}
