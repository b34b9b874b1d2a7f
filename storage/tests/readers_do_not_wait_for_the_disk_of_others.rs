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

/// A file system whose reads of one file wait at the gate.
struct Gated(MemVfs, Arc<Gate>);

struct GatedFile(Box<dyn VfsFile>, String, Arc<Gate>);

impl Gated {
    fn wrap(&self, path: &Path, file: Box<dyn VfsFile>) -> Box<dyn VfsFile> {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Box::new(GatedFile(file, name, self.1.clone()))
    }
}

impl Vfs for Gated {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(self.wrap(path, self.0.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn VfsFile>> {
        Ok(self.wrap(path, self.0.open(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn lock(&self, path: &Path, owner: &str) -> io::Result<std::result::Result<Box<dyn VfsLock>, String>> {
        self.0.lock(path, owner)
    }
}

impl VfsFile for GatedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.2.pass(&self.1);
        self.0.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
}

#[test]
fn a_read_that_waits_for_the_disk_holds_up_nobody() {
    let (vfs, gate) = (MemVfs::new(), Arc::new(Gate::default()));
    let options = Options { l0_tables_trigger: 50, l0_tables_slowdown: 100, ..Options::default() };
    let db = Db::open_with(Arc::new(Gated(vfs.clone(), gate.clone())), "db".as_ref(), options).unwrap();
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
