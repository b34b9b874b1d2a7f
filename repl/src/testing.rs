//! A session in memory for this crate's tests.

use std::path::Path;
use std::sync::Arc;

use patina_objects::{ManualClock, ObjectStore, PutOptions, StoreOptions, Timestamp};
use patina_query::{Session, SessionOptions};
use patina_storage::{Db, MemVfs, Options};

use crate::render::{Format, Style};
use crate::run::{Ended, Terminal};

/// A session over two objects.
pub(crate) fn session() -> Session {
    let db = Db::open_with(Arc::new(MemVfs::new()), Path::new("db"), Options::default()).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let store = ObjectStore::open(db, clock, StoreOptions::default()).unwrap();
    for name in ["photos/cat.txt", "photos/dog's.txt"] {
        store.put(name, b"A short text.", &PutOptions::default()).unwrap();
    }
    Session::open(store, SessionOptions::default()).unwrap()
}

/// What a pipe with this input gives: how it ended, the output, the errors.
pub(crate) fn piped(input: impl AsRef<[u8]>) -> (Ended, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        session: session(),
        style: Style::plain(Format::Csv),
        file: None,
        out: &mut out,
        err: &mut err,
    };
    let ended = crate::pipe::run(&mut terminal, &mut input.as_ref()).unwrap();
    (ended, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}
