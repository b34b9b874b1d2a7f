//! A subscriber hears of everything that is committed, in order, without holding anybody up; one that is too slow is told what
//! it missed.

mod support;

use patina_objects::{EVENTS_WAITING_MAX, Event, HistoryRow, PutOptions};
use std::sync::mpsc;
use support::{TENANT, World, noise};

#[test]
fn it_is_the_history_as_it_happens() {
    let world = World::new();
    world.put("before", &noise(9, 100));
    let (send, receive) = mpsc::channel();
    let store = world.store.clone();
    let subscription = world
        .store
        .subscribe(move |event| {
            // It may call the store, and change it.
            if matches!(&event, Event::Happened(row) if row.name == "a" && row.seq == 2) {
                store.set_pinned(TENANT, "before", true).unwrap();
            }
            send.send(event).unwrap();
        })
        .unwrap();
    world.put("a", &noise(1, 1000));
    while !world.store.stat(TENANT, "before").unwrap().pinned {
        std::thread::yield_now();
    }
    world.tick_after(10);
    world.store.delete(TENANT, "a").unwrap();
    drop(subscription);
    world.put("after", &noise(2, 100));
    let told: Vec<HistoryRow> = receive
        .iter()
        .map(|event| match event {
            Event::Happened(row) => HistoryRow::clone(&row),
            Event::Missed(count) => unreachable!("{count} were missed"),
        })
        .collect();
    let history: Vec<HistoryRow> = world.store.history(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(told, history[1..history.len() - 1]);
    assert_eq!(told.len(), 4);
}

#[test]
fn one_that_sleeps_holds_nobody_up_and_is_told_what_it_missed() {
    let world = World::new();
    let (send, receive) = mpsc::channel();
    let (wake, woken) = mpsc::channel::<()>();
    let subscription = world
        .store
        .subscribe(move |event| {
            let _ = woken.recv();
            send.send(event).unwrap();
        })
        .unwrap();
    let count = EVENTS_WAITING_MAX + 50;
    let item = |n: usize| (format!("o{n}"), vec![n as u8].into(), PutOptions::default());
    world.store.put_many((0..count).map(item)).unwrap();
    drop(wake);
    drop(subscription);
    let (mut told, mut missed) = (0, 0);
    for event in receive {
        match event {
            Event::Happened(_) => told += 1,
            Event::Missed(count) => missed += count,
        }
    }
    assert_eq!(told + missed, count as u64);
    assert!(missed >= 49, "{missed} missed");
}
