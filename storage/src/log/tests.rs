use super::format::{BLOCK_BYTES, CHUNK_HEADER_BYTES, FILE_HEADER_BYTES};
use super::*;
use crate::error::ErrorKind;
use crate::types::FileId;
use crate::vfs::{Fault, MemVfs, VfsCall};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const ID: FileId = FileId(7);

fn path() -> PathBuf {
    PathBuf::from("db/7.log")
}

fn writer(vfs: &MemVfs) -> LogWriter {
    crate::vfs::make_dir(vfs, Path::new("db")).unwrap();
    LogWriter::create(vfs, Path::new("db"), path(), ID).unwrap()
}

fn read_all(vfs: &MemVfs) -> crate::Result<(Vec<Vec<u8>>, Tail)> {
    let mut reader = LogReader::open(vfs, &path(), ID)?;
    let mut records = Vec::new();
    while let Some((record, _)) = reader.next_record()? {
        records.push(record);
    }
    Ok((records, reader.tail()))
}

fn record(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_come_back(lens in prop::collection::vec(prop_oneof![0usize..100, 32_000usize..33_000, 60_000usize..100_000], 0..20)) {
        let vfs = MemVfs::new();
        let mut log = writer(&vfs);
        let records: Vec<Vec<u8>> = lens.iter().enumerate().map(|(i, len)| record(*len, i as u8)).collect();
        for record in &records {
            log.append(record).unwrap();
        }
        prop_assert_eq!(read_all(&vfs).unwrap(), (records, Tail::Clean));
    }

    #[test]
    fn a_truncated_log_gives_a_prefix(lens in prop::collection::vec(0usize..20_000, 1..12), share in 0.0f64..1.0) {
        let vfs = MemVfs::new();
        let mut log = writer(&vfs);
        let records: Vec<Vec<u8>> = lens.iter().enumerate().map(|(i, len)| record(*len, i as u8)).collect();
        for record in &records {
            log.append(record).unwrap();
        }
        vfs.damage(&path(), |bytes| {
            let body = bytes.len() - FILE_HEADER_BYTES;
            bytes.truncate(FILE_HEADER_BYTES + (body as f64 * share) as usize);
        }).unwrap();
        let (read, _) = read_all(&vfs).unwrap();
        prop_assert_eq!(&read[..], &records[..read.len()]);
    }
}

#[test]
fn a_torn_tail_is_cut_but_damage_before_a_sync_is_corruption() {
    let vfs = MemVfs::new();
    let mut log = writer(&vfs);
    log.append(b"first").unwrap();
    log.file().sync().unwrap();
    log.append(b"second").unwrap();
    let second = FILE_HEADER_BYTES + CHUNK_HEADER_BYTES + 5;

    let torn = vfs.kill();
    torn.damage(&path(), |bytes| bytes[second + CHUNK_HEADER_BYTES] ^= 1).unwrap();
    let (records, tail) = read_all(&torn).unwrap();
    assert_eq!((records, tail), (vec![b"first".to_vec()], Tail::Torn { offset: second as u64 }));

    let rotten = vfs.kill();
    rotten.damage(&path(), |bytes| bytes[FILE_HEADER_BYTES + CHUNK_HEADER_BYTES] ^= 1).unwrap();
    assert_eq!(read_all(&rotten).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn every_flipped_byte_of_a_finished_log_is_noticed() {
    let vfs = MemVfs::new();
    let mut log = writer(&vfs);
    let records: Vec<Vec<u8>> = (0..8).map(|i| record(40 * i, i as u8)).collect();
    for record in &records {
        log.append(record).unwrap();
    }
    log.finish().unwrap();
    let len = vfs.bytes(&path()).unwrap().len();
    let marker = len - CHUNK_HEADER_BYTES;
    for at in 0..len {
        let rotten = vfs.kill();
        rotten.damage(&path(), |bytes| bytes[at] ^= 0x10).unwrap();
        match read_all(&rotten) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption),
            // Reserved header bytes are not read; the closing marker alone carries no data.
            Ok((read, _)) => {
                assert!(at >= marker || (10..12).contains(&at), "byte {at}");
                assert_eq!(read[..records.len()], records[..], "byte {at}");
            }
        }
    }
}

#[test]
fn a_failed_append_leaves_the_log_usable() {
    let vfs = MemVfs::new();
    let mut log = writer(&vfs);
    log.append(b"kept").unwrap();
    vfs.fail_after(0);
    assert!(!log.append(b"lost").unwrap_err().usable);
    vfs.heal();
    log.append(b"next").unwrap();
    assert_eq!(read_all(&vfs).unwrap().0, [b"kept".to_vec(), b"next".to_vec()]);
}

#[test]
fn a_full_disk_leaves_the_log_usable() {
    let vfs = MemVfs::new();
    let mut log = writer(&vfs);
    log.append(b"kept").unwrap();
    vfs.fill_after(0);
    assert!(log.append(b"lost").unwrap_err().usable);
    assert!(log.finish().unwrap_err().usable);
    vfs.heal();
    log.finish().unwrap();
    log.append(b"next").unwrap();
    assert_eq!(read_all(&vfs).unwrap().0, [&b"kept"[..], b"", b"next"]);
}

#[test]
fn a_record_that_fills_a_block_exactly_is_read_back() {
    for spare in 0..=CHUNK_HEADER_BYTES + 1 {
        let vfs = MemVfs::new();
        let mut log = writer(&vfs);
        let first = record(BLOCK_BYTES as usize - FILE_HEADER_BYTES - CHUNK_HEADER_BYTES - spare, 1);
        log.append(&first).unwrap();
        assert_eq!(read_all(&vfs).unwrap(), (vec![first.clone()], Tail::Clean), "spare {spare}");
        log.append(b"after").unwrap();
        assert_eq!(read_all(&vfs).unwrap().0, [first, b"after".to_vec()], "spare {spare}");
    }
}

/// What a failed append had written was cut off, but the cut was not durable: after a power loss a record was back that had been refused.
#[test]
fn a_refused_record_does_not_come_back_with_a_power_loss() {
    let vfs = MemVfs::new();
    let mut log = writer(&vfs);
    log.append(b"first").unwrap();
    log.file().sync().unwrap();
    let (calls, error) = (&[VfsCall::Write][..], std::io::ErrorKind::StorageFull);
    // The first write has the small record and a part of the large one.
    vfs.inject(Fault { calls, after: 1, lasts: false, error, halfway: false });
    let large = record(3 << 20, 1);
    assert!(log.append_all([&b"small"[..], &large]).unwrap_err().usable);
    for seed in 0..200 {
        assert_eq!(read_all(&vfs.crash_with(seed)).unwrap().0, [b"first"], "seed {seed}");
    }
}

fn reserving(vfs: &MemVfs) -> LogWriter {
    writer(vfs).reserving()
}

fn file_bytes(vfs: &MemVfs) -> u64 {
    vfs.bytes(&path()).unwrap().len() as u64
}

#[test]
fn a_sync_of_a_log_with_room_does_not_change_its_length() {
    let vfs = MemVfs::new();
    let mut log = reserving(&vfs);
    let (mut grown, mut len) = (0, 0);
    for n in 0..3000 {
        log.append(&record(1000, n as u8)).unwrap();
        log.file().sync().unwrap();
        grown += u32::from(file_bytes(&vfs) != len);
        len = file_bytes(&vfs);
        let written = log.file().written();
        assert!((written..=2 * written + (32 << 10)).contains(&len), "{len} bytes for {written}");
    }
    // 32, 64, 128, 256, 512 KiB, and then each MiB.
    assert!((6..=9).contains(&grown), "{grown}");
}

#[test]
fn room_reads_as_the_end_of_the_log_and_is_given_back() {
    let vfs = MemVfs::new();
    let mut log = reserving(&vfs);
    let records = [record(100, 1), record(14_000, 2), record(10, 3)];
    for record in &records {
        log.append(record).unwrap();
        log.file().sync().unwrap();
    }
    assert!(file_bytes(&vfs) > log.file().written());
    assert_eq!(read_all(&vfs.kill()).unwrap(), (records.to_vec(), Tail::Clean));
    log.finish().unwrap();
    assert_eq!(file_bytes(&vfs), log.file().written());
    assert_eq!(read_all(&vfs).unwrap(), ([&records[..], &[Vec::new()]].concat(), Tail::Clean));
}

/// But for the first.
#[test]
fn who_does_not_sync_gets_no_more_room() {
    let vfs = MemVfs::new();
    let mut log = reserving(&vfs);
    for n in 0..200 {
        log.append(&record(1000, n)).unwrap();
    }
    assert_eq!(file_bytes(&vfs), log.file().written());
}

#[test]
fn a_disk_without_room_to_set_aside_takes_records() {
    let vfs = MemVfs::new();
    let mut log = reserving(&vfs);
    vfs.fill_after(1);
    log.append(b"taken").unwrap();
    vfs.heal();
    log.append(b"too").unwrap();
    assert_eq!(file_bytes(&vfs), log.file().written());
    assert_eq!(read_all(&vfs).unwrap(), (vec![b"taken".to_vec(), b"too".to_vec()], Tail::Clean));
}

/// Records that replace reserved zeros may reach the disk in any order, and in part.
#[test]
fn after_a_power_loss_a_log_with_room_has_what_was_synced_and_no_more_than_was_written() {
    for seed in 0..300 {
        let vfs = MemVfs::new();
        let mut log = reserving(&vfs);
        let records: Vec<_> = (0..30).map(|n| record(seed as usize * 13 % 900 + n, n as u8)).collect();
        let synced = seed as usize % 20;
        for (n, record) in records.iter().enumerate() {
            log.append(record).unwrap();
            if n < synced {
                log.file().sync().unwrap();
            }
        }
        let (read, _) = read_all(&vfs.crash_with(seed)).unwrap();
        assert!(read.len() >= synced, "seed {seed}");
        assert_eq!(read, records[..read.len()], "seed {seed}");
    }
}
