//! Promise: an object from a reader is written once, is whole or absent after a crash, and is the same object as one put from memory;
//! reading it back gives any part of it; decay of what is larger than the codecs take is kept or described.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use patina_objects::{
    CodecTransform, ErrorKind, Limits, ObjectStore, PutOptions, StoreOptions, TickOptions, days,
};
use patina_storage::{Db, MemVfs, Options};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use support::{TENANT, World, noise, policy};

const LEN: usize = 900_000;

fn put_reader(world: &World, name: &str, bytes: &[u8]) {
    world.store.put_reader(name, &mut &bytes[..], &PutOptions::default()).unwrap();
}

fn blob_bytes(world: &World) -> u64 {
    world.store.blob_files().unwrap().iter().map(|file| file.bytes).sum()
}

#[test]
fn a_streamed_object_is_read_in_pieces_and_from_any_place() {
    let world = World::new();
    for (name, len) in [("none", 0), ("small", 100), ("chunk", 256 << 10), ("large", LEN)] {
        let bytes = noise(len as u64, len);
        put_reader(&world, name, &bytes);
        let mut reader = world.store.get_reader(TENANT, name).unwrap();
        assert_eq!((reader.len(), reader.stage().number(), reader.fidelity()), (len as u64, 0, 1.0));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes, "{name}");
        for (from, to) in [(0, 5), (len / 2, len / 2 + 7), (len.saturating_sub(3), len + 10), (9, 3)] {
            let expected = bytes.get(from.min(len)..to.min(len)).unwrap_or_default();
            assert!(reader.read_range(from as u64..to as u64).unwrap() == expected, "{from}..{to} of {name}");
        }
        reader.seek(SeekFrom::End(-(len.min(4) as i64))).unwrap();
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert!(end == bytes[len - len.min(4)..]);
    }
    world.check();
    world.tick_after(60);
    let mut trace = world.store.get_reader(TENANT, "large").unwrap();
    let text = trace.read_range(0..1000).unwrap();
    assert_eq!((trace.stage().number(), &text[..]), (3, format!("{{\"bytes\":{LEN}}}").as_bytes()));
}

#[test]
fn a_stream_is_the_same_object_as_the_bytes_in_memory() {
    let (streamed, in_memory) = (World::new(), World::new());
    let bytes = noise(1, LEN);
    put_reader(&streamed, "a", &bytes);
    in_memory.put("a", &bytes);
    assert_eq!(streamed.store.stat(TENANT, "a").unwrap(), in_memory.store.stat(TENANT, "a").unwrap());
}

#[test]
fn bytes_that_are_there_already_are_not_stored_again() {
    let world = World::new();
    put_reader(&world, "a", &noise(1, LEN));
    let before = blob_bytes(&world);
    put_reader(&world, "b", &noise(1, LEN));
    assert_eq!(blob_bytes(&world), before);
    assert_eq!(world.store.totals().unwrap().contents, 1);
    world.check();
}

#[test]
fn a_reader_that_fails_and_a_hold_leave_everything_as_it_was() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("the line went dead"))?;
            Ok(buf.len())
        }
    }
    let world = World::new();
    world.put("a", b"before");
    let before = world.dump();
    for calls in [0, 3, 40] {
        let refused = world.store.put_reader("a", &mut Failing(calls), &PutOptions::default()).unwrap_err();
        assert!(refused.to_string().contains("the line went dead"), "{refused}");
        assert_eq!(world.dump(), before);
    }
    world.store.hold(TENANT, "a", "case 17", None).unwrap();
    // Refused before the endless stream is read.
    let refused = world.store.put_reader("a", &mut io::repeat(7), &PutOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Held);
    assert_eq!(world.bytes("a"), b"before");
}

#[test]
fn a_power_loss_at_any_call_leaves_a_streamed_object_whole_or_absent() {
    for calls in 0.. {
        let world = World::new();
        world.put("a", &noise(1, 100));
        world.vfs.fail_after(calls);
        let put = world.store.put_reader("a", &mut &noise(2, LEN)[..], &PutOptions::default());
        let after = world.after_power_loss();
        let found = after.bytes("a");
        assert!(found == noise(2, LEN) || (put.is_err() && found == noise(1, 100)), "call {calls}");
        after.check();
        if put.is_ok() {
            return;
        }
    }
}

#[test]
fn a_reader_goes_on_whatever_happens_to_its_object() {
    let world = World::new();
    put_reader(&world, "a", &noise(1, LEN));
    let mut reader = world.store.get_reader(TENANT, "a").unwrap();
    world.store.delete(TENANT, "a").unwrap();
    world.store.db().seal_bins().unwrap();
    world.tick_after(1);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read == noise(1, LEN));
}

#[test]
fn what_no_codec_takes_is_kept_or_described() {
    let world = World::new();
    let (vfs, clock) = (MemVfs::new(), world.clock.clone());
    let db = Db::open_with(Arc::new(vfs), Path::new("db"), Options::default()).unwrap();
    let limits = Limits { input_bytes: 100_000, ..Limits::default() };
    let options =
        StoreOptions { transform: Arc::new(CodecTransform::default()), limits, ..Default::default() };
    let store = ObjectStore::open(db, Arc::new(clock.clone()), options).unwrap();
    store.put_policy(policy()).unwrap();
    let text = "one line of a text that goes on and on, and then another\n".repeat(20_000);
    for name in ["a.txt", "a.bin"] {
        store.put_reader(name, &mut text.as_bytes(), &PutOptions::default()).unwrap();
    }
    let media_type = Some("application/x-unknown".to_owned());
    let unknown = PutOptions { media_type, ..PutOptions::default() };
    store.put_reader("a.bin", &mut &noise(3, LEN)[..], &unknown).unwrap();
    let tick = |days_later| {
        clock.advance(days(days_later));
        store.tick(&TickOptions::default()).unwrap();
    };
    tick(12);
    let notes = |name: &str| {
        let id = store.stat(TENANT, name).unwrap().id;
        let last = store.history(Some(id)).unwrap().last().unwrap().unwrap();
        (last.to.unwrap().number(), last.fidelity, last.note)
    };
    let (stage, fidelity, note) = notes("a.txt");
    assert!(stage == 1 && fidelity == 1.0 && note.contains("bytes are more than 100000"), "{note}");
    assert!(store.get(TENANT, "a.txt").unwrap().bytes == text.as_bytes());
    assert!(store.peek(TENANT, "a.bin").unwrap().bytes == noise(3, LEN));
    tick(12);
    assert!(store.peek(TENANT, "a.txt").unwrap().bytes == text.as_bytes());
    let described = store.peek(TENANT, "a.bin").unwrap();
    assert!(
        described.bytes.len() < 1000 && std::str::from_utf8(&described.bytes).unwrap().contains("900000")
    );
    tick(30);
    assert_eq!((notes("a.txt").0, notes("a.bin").0), (3, 3));
    store.verify_history().unwrap();
}
