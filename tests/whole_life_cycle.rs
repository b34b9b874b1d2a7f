//! Promise: real files go from the first byte to the purged row, and each stage can be seen in SQL on the way.

use std::collections::BTreeMap;

use patinadb::{ListFilter, Patina, Policy, PutOptions, Stage, TickOptions, Value, days};
use tempfile::TempDir;

use crate::sandbox::{Sandbox, all_samples};

const BY_STAGE: &str = "SELECT stage, count(*), sum(stored) FROM objects GROUP BY stage";
const FORCED: TickOptions<'static> =
    TickOptions { force: true, now: None, confirm_clock: false, progress: None, stop: None };

/// Stage to objects and bytes stored, as SQL has it.
fn by_stage(db: &Patina) -> BTreeMap<i64, (i64, i64)> {
    let integer = |value: &Value| match value {
        Value::Integer(number) => *number,
        other => panic!("{other:?} is no number"),
    };
    let rows = db.query(BY_STAGE, ()).unwrap();
    rows.map(|row| {
        let [stage, objects, stored] = row.values() else { panic!("three columns were asked for") };
        (integer(stage), (integer(objects), integer(stored)))
    })
    .collect()
}

/// The samples under a policy that purges, at rates that spread them over the stages; one of them under a hold.
fn imported(folder: &TempDir) -> Patina {
    let db = Patina::open(folder.path()).unwrap();
    let policy = Policy { purge_after: Some(days(2_000)), grace: days(0), ..Policy::new("to the end") };
    db.objects().put_policy(policy).unwrap();
    for (index, (name, bytes)) in all_samples().into_iter().enumerate() {
        let rate = [1.0, 0.75, 0.5, 0.25][index % 4];
        let hold = (name == "cc0.txt").then(|| "evidence".to_owned());
        let options =
            PutOptions { policy: Some("to the end".into()), rate: Some(rate), hold, ..PutOptions::default() };
        db.put_with(&name, &bytes, &options).unwrap();
    }
    db
}

#[test]
fn forced_ticks_show_each_stage_and_then_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = imported(&folder);
    let objects = all_samples().len() as i64;
    let imported_bytes = by_stage(&db)[&0].1;
    let mut all_at_once = false;
    for _ in 0..20 {
        db.tick(&FORCED).unwrap();
        db.close().unwrap();
        db = Patina::open(folder.path()).unwrap();
        let stages = by_stage(&db);
        assert_eq!(
            stages.values().map(|(count, _)| count).sum::<i64>(),
            objects,
            "no row is lost or doubled"
        );
        all_at_once |= (0..=4).all(|stage| stages.contains_key(&stage));
    }
    assert!(all_at_once, "with four rates and a hold there is a moment that shows every stage");
    let end = by_stage(&db);
    assert_eq!(end.keys().copied().collect::<Vec<_>>(), [0, 4], "the held object, and the purged ones");
    assert_eq!((end[&0].0, end[&4]), (1, (objects - 1, 0)));
    assert!(end[&0].1 < imported_bytes / 100);
    let held = all_samples().into_iter().find(|(name, _)| name == "cc0.txt").unwrap().1;
    assert!(db.get("cc0.txt").unwrap().bytes[..] == held[..], "a hold keeps every byte");
}

#[test]
fn every_step_is_in_the_history_and_its_bytes_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let db = imported(&folder);
    for _ in 0..3 {
        db.tick(&FORCED).unwrap();
    }
    for info in db.list(&ListFilter::default()).unwrap() {
        let info = info.unwrap();
        let rows: Vec<_> = db.history(Some(info.id)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!((rows[0].from, rows[0].to), (None, Some(Stage::Hot)));
        for pair in rows.windows(2) {
            assert_eq!(pair[1].from, pair[0].to, "{}: a step begins where the last ended", info.name);
            assert_eq!(pair[1].bytes_before, pair[0].bytes_after, "{}", info.name);
            assert!(pair[1].fidelity <= pair[0].fidelity, "{}: fidelity rose", info.name);
        }
        let last = rows.last().unwrap();
        assert_eq!((last.to, last.bytes_after), (Some(info.stage), info.stored), "{}", info.name);
        assert_eq!(last.fidelity, info.fidelity);
    }
}

#[test]
fn what_is_decayed_takes_less_of_the_disk() {
    let sandbox = Sandbox::with_samples();
    let disk = |sandbox: &Sandbox| -> u64 {
        let status: serde_json::Value = serde_json::from_str(&sandbox.prints(&["status", "--json"])).unwrap();
        status["disk_bytes"].as_u64().unwrap()
    };
    let before = disk(&sandbox);
    let mut after = before;
    for stage in 1..=3 {
        sandbox.prints(&["tick", "--force"]);
        let now = disk(&sandbox);
        assert!(now < after, "stage {stage} freed nothing: {after} to {now}");
        after = now;
        assert!(sandbox.objects().iter().all(|object| object["stage"] == stage));
    }
    assert!(after < before / 10, "{before} to {after}");
}
