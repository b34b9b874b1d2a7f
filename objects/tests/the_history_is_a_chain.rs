//! Every transition is in the history, each row holds the hash of the one before, and the bytes add up.

mod support;

use patina_objects::{ErrorKind, ObjectId, Reason, Stage};
use support::{TENANT, World, noise};

#[test]
fn the_life_of_an_object_can_be_read_from_it() {
    let world = World::new();
    world.put("a", &noise(1, 1000));
    world.put("other", &noise(2, 100));
    world.store.set_rate(TENANT, "a", 2.0).unwrap();
    world.store.rename(TENANT, "a", "b").unwrap();
    world.tick_after(6);
    world.force();
    world.store.delete(TENANT, "b").unwrap();
    let rows: Vec<_> = world.store.history(Some(ObjectId(1))).unwrap().map(Result::unwrap).collect();
    let steps: Vec<_> =
        rows.iter().map(|row| (row.reason, row.to, row.bytes_before, row.bytes_after)).collect();
    assert_eq!(
        steps,
        [
            (Reason::Put, Some(Stage::Hot), 0, 1000),
            (Reason::Control, Some(Stage::Hot), 1000, 1000),
            (Reason::Control, Some(Stage::Hot), 1000, 1000),
            (Reason::Due, Some(Stage::Warm), 1000, 500),
            (Reason::Forced, Some(Stage::Trace), 500, 13),
            (Reason::Delete, None, 13, 0),
        ]
    );
    assert_eq!((rows[1].note.as_str(), rows[2].note.as_str()), ("rate 2 instead of 1", "renamed from 'a'"));
    assert_eq!(
        (rows[3].codec.as_str(), rows[3].metric.as_str(), rows[3].fidelity),
        ("halving@1", "share", 0.5)
    );
    assert_eq!((rows[3].name.as_str(), rows[0].name.as_str(), rows[0].actor.as_str()), ("b", "a", "local"));
    assert_eq!(world.store.verify_history().unwrap(), 8);
    world.check();
}

#[test]
fn a_changed_a_removed_and_a_moved_row_are_found() {
    for damage in 0..3 {
        let world = World::new();
        for n in 0..4u64 {
            world.put(&format!("o{n}"), &noise(n, 100));
        }
        world.store.verify_history().unwrap();
        let history = world.store.db().keyspace("history", Default::default()).unwrap();
        let key = |seq: u64| seq.to_be_bytes().to_vec();
        let row = history.get(&key(2)).unwrap().unwrap();
        match damage {
            0 => {
                let mut changed = row.to_vec();
                let at = changed.windows(2).position(|pair| pair == b"o1").unwrap();
                changed[at + 1] = b'7';
                history.put(key(2), changed).unwrap();
            }
            1 => drop(history.delete(key(2)).unwrap()),
            _ => {
                history.put(key(2), history.get(&key(3)).unwrap().unwrap()).unwrap();
                history.put(key(3), row).unwrap();
            }
        }
        assert_eq!(
            world.store.verify_history().unwrap_err().kind(),
            ErrorKind::Corruption,
            "damage {damage}"
        );
    }
}

#[test]
fn the_chain_goes_on_after_reopening() {
    let world = World::new();
    world.put("a", &noise(1, 100));
    let vfs = world.vfs.clone();
    drop(world);
    let world = World::on(vfs, support::START);
    world.put("b", &noise(2, 100));
    assert_eq!(world.store.verify_history().unwrap(), 2);
}
