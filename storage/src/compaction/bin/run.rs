//! One bin compaction from the first record to the retirement of the file.
//!
//! Records are judged in groups of at most [`GROUP_RECORDS_MAX`], and of at most half of `Options::transform_bytes_max` bytes of
//! values, each counted twice: as read and as transformed. The next group is handed to the threads before this one is written, so
//! that they are never idle while the disk is at work; but not if both together would be more than the budget, which a single value
//! may be. So what is in memory is the budget, or one value that is larger.
//!
//! Example: a budget of 64 MiB and values of 4 MiB: a group is four values (16 MiB, counted as 32), and two groups are on their way.

use super::judges::{CloseAtEnd, Job, Judged, Judges, Output, OutputValue};
use super::{BinOwner, BinReport};
use crate::batch::{PendingBlob, WriteBatch};
use crate::blob::{BlobFile, Record};
use crate::db::{Db, InFlight, Inner, Keyspace};
use crate::error::{ErrorKind, Result};
use crate::types::{Bin, BlobRef, Durability, Seqno};
use std::ops::Range;
use std::sync::Arc;

/// Records that are judged as of one snapshot, and whose new blobs share their syncs.
const GROUP_RECORDS_MAX: usize = 256;
/// Records are carried together up to this much.
const CARRY_BYTES: u64 = 8 << 20;

struct Run<'a, O: BinOwner> {
    db: &'a Db,
    contents: &'a Keyspace,
    owner: &'a O,
    file: &'a Arc<BlobFile>,
    /// To be judged.
    records: Vec<Record>,
    /// What the owner did not want: either none, or at least half of the file's bytes.
    passed: Vec<Record>,
    report: BinReport,
    /// To be carried if little enough is kept.
    kept: Vec<(usize, Bin)>,
    /// To be carried in any case.
    carried: Vec<(usize, Bin)>,
    /// No thread judges but this one.
    is_alone: bool,
}

/// Records that are being judged.
struct Group<'a> {
    range: Range<usize>,
    /// Of these, the live ones.
    jobs: usize,
    in_flight: InFlight<'a>,
}

pub(super) fn run<O: BinOwner>(
    db: &Db,
    contents: &Keyspace,
    owner: &O,
    file: &Arc<BlobFile>,
) -> Result<BinReport> {
    let records = records(db, contents, file)?;
    let report =
        BinReport { records: records.len() as u64, bytes: bytes_of(&records), ..BinReport::default() };
    let (records, passed) = split(records, owner);
    let (kept, carried) = (Vec::new(), Vec::new());
    let mut run = Run { db, contents, owner, file, records, passed, report, kept, carried, is_alone: true };
    run.judge()?;
    run.carry_all()?;
    run.retire_if_dead()?;
    Ok(run.report)
}

/// The records in file order. A file whose index cannot be read is known by the references to it, which takes a walk over the keyspace.
fn records(db: &Db, contents: &Keyspace, file: &BlobFile) -> Result<Vec<Record>> {
    match file.index(&db.inner.blobs().handles) {
        Err(error) if error.kind() == ErrorKind::Corruption => {}
        index => return index,
    }
    let mut records = Vec::new();
    for entry in contents.range(..) {
        let entry = entry?;
        let Some(blob) = entry.blob_ref().filter(|blob| blob.file == file.id) else { continue };
        let BlobRef { offset, stored_len, len, layout, .. } = blob;
        records.push(Record { offset, key: entry.key().clone(), stored_len, len, layout });
    }
    records.sort_by_key(|record| record.offset);
    Ok(records)
}

/// What is to be judged, and what is passed over.
fn split<O: BinOwner>(records: Vec<Record>, owner: &O) -> (Vec<Record>, Vec<Record>) {
    let (mut wanted, mut passed): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| owner.wants(&record.key));
    if bytes_of(&wanted) > bytes_of(&passed) {
        wanted.append(&mut passed);
        wanted.sort_unstable_by_key(|record| record.offset);
    }
    (wanted, passed)
}

fn bytes_of(records: &[Record]) -> u64 {
    records.iter().map(Record::total_bytes).sum()
}

impl<'a, O: BinOwner> Run<'a, O> {
    fn inner(&self) -> &'a Arc<Inner> {
        &self.db.inner
    }

    fn group_bytes_max(&self) -> u64 {
        self.inner().options.transform_bytes_max / 2
    }

    /// Judges all live records, and commits what that leads to.
    fn judge(&mut self) -> Result<()> {
        let same_bytes_max = self.group_bytes_max() / 2;
        let judges = Judges::new(self.db, self.contents, self.owner, self.file, same_bytes_max);
        // One alone is the thread that compacts. Several are beside it: it writes, which is mostly waiting for the disk.
        let threads = self.inner().options.transform_threads.min(self.records.len());
        let helpers = if threads > 1 { threads } else { 0 };
        std::thread::scope(|scope| {
            let _close_at_end = CloseAtEnd(&judges);
            let mut begun = 0;
            for number in 0..helpers {
                let named = std::thread::Builder::new().name(format!("patina-transform-{number}"));
                // With fewer threads it only takes longer.
                begun += usize::from(named.spawn_scoped(scope, || judges.work()).is_ok());
            }
            self.is_alone = begun == 0;
            self.judge_groups(&judges)
        })
    }

    fn judge_groups(&mut self, judges: &Judges<'_, O>) -> Result<()> {
        let budget = self.inner().options.transform_bytes_max;
        let first = self.next_range(0);
        let mut ahead = self.submit(judges, first)?;
        while let Some(group) = ahead.take() {
            let next = self.next_range(group.range.end);
            let fits = group.in_flight.bytes() + self.charge(&next) <= budget;
            if fits {
                ahead = self.submit(judges, next.clone())?;
            }
            self.finish(judges, group)?;
            if self.report.cancelled {
                return Ok(());
            }
            if !fits {
                ahead = self.submit(judges, next)?;
            }
        }
        Ok(())
    }

    /// The records of the group that begins at a place. It depends on nothing but the file and the options.
    fn next_range(&self, start: usize) -> Range<usize> {
        let mut end = start;
        let mut bytes = 0u64;
        for record in self.records.iter().skip(start).take(GROUP_RECORDS_MAX) {
            bytes = bytes.saturating_add(charge_of(record));
            if end > start && bytes > self.group_bytes_max() {
                break;
            }
            end += 1;
        }
        start..end
    }

    fn charge(&self, range: &Range<usize>) -> u64 {
        let records = self.records.get(range.clone()).unwrap_or_default();
        records.iter().fold(0, |bytes, record| bytes.saturating_add(charge_of(record)))
    }

    /// Hands a group to the threads, as of now; `None` at the end of the file.
    fn submit(&mut self, judges: &Judges<'_, O>, range: Range<usize>) -> Result<Option<Group<'a>>> {
        if range.is_empty() {
            return Ok(None);
        }
        let snapshot = self.db.snapshot();
        let in_flight = InFlight::new(self.inner(), self.charge(&range));
        let mut jobs = Vec::new();
        for (at, record) in self.records.iter().enumerate().take(range.end).skip(range.start) {
            let found = snapshot.blob_ref(self.contents, &record.key)?;
            if let Some((blob, seqno)) = found.filter(|(blob, _)| self.is_at(record, *blob)) {
                let (key, snapshot) = (record.key.clone(), snapshot.clone());
                jobs.push(Job { at, key, blob, seqno, snapshot });
            }
        }
        self.report.live += jobs.len() as u64;
        let count = jobs.len();
        judges.submit(jobs);
        Ok(Some(Group { range, jobs: count, in_flight }))
    }

    fn is_at(&self, record: &Record, blob: BlobRef) -> bool {
        blob.file == self.file.id && blob.offset == record.offset
    }

    /// Waits for a group's judgements and does what they say, in file order. New blobs are written together: bytes that trickle into a
    /// file are in the way of everybody else's syncs (docs/decay.md, "What decay costs").
    fn finish(&mut self, judges: &Judges<'_, O>, group: Group<'a>) -> Result<()> {
        let mut plans = Vec::new();
        let mut failed = Ok(());
        for (at, judged) in judges.finish(&group.range, group.jobs, self.is_alone) {
            match judged {
                Ok(Judged::Keep(bin)) => self.kept.push((at, bin)),
                Ok(Judged::Carry(bin)) => self.carried.push((at, bin)),
                Ok(Judged::Rewrite { outputs, plan }) => match self.append(at, outputs) {
                    Ok(blobs) => plans.push((plan, blobs)),
                    // On a full disk what has been written must not be in vain: it took the room that there was.
                    Err(error) if error.kind() == ErrorKind::NoSpace => {
                        failed = Err(error);
                        break;
                    }
                    Err(error) => return Err(error),
                },
                Ok(Judged::Failed) => self.report.failed += 1,
                Ok(Judged::Cancelled) => self.report.cancelled = true,
                Err(error) => {
                    failed = Err(error);
                    break;
                }
            }
        }
        self.commit(plans)?;
        self.owner.progress(&self.report);
        failed
    }

    fn append(&mut self, at: usize, outputs: Vec<Output>) -> Result<Vec<PendingBlob>> {
        let inner = self.inner();
        let mut blobs = Vec::with_capacity(outputs.len());
        for Output { key, bin, value } in outputs {
            let home = (self.contents.id(), bin);
            let blob = match (value, self.records.get(at)) {
                (OutputValue::Encoded(value), _) => inner.append_encoded(home, &key, &value)?,
                (OutputValue::Same(compression), Some(record)) => {
                    let blob = record.blob_ref(self.file.id);
                    inner.compress_record(self.file, (&record.key, blob), home, &key, compression)?
                }
                (OutputValue::Same(_), None) => continue,
            };
            inner.pace(blob.blob_ref().stored_len)?;
            blobs.push(blob);
        }
        Ok(blobs)
    }

    /// Makes new blobs durable and reads them back, then lets the owner commit plan by plan.
    fn commit(&mut self, plans: Vec<(O::Plan, Vec<PendingBlob>)>) -> Result<()> {
        self.make_sure_of(plans.iter().flat_map(|(_, blobs)| blobs))?;
        for (plan, blobs) in plans {
            match self.owner.commit(plan, &blobs)? {
                true => self.report.committed += 1,
                false => self.report.conflicts += 1,
            }
        }
        Ok(())
    }

    fn make_sure_of<'b>(&mut self, blobs: impl Iterator<Item = &'b PendingBlob> + Clone) -> Result<()> {
        let inner = self.inner();
        for blob in blobs.clone() {
            blob.inner.file.sync().map_err(|error| inner.fail(error))?;
        }
        for blob in blobs {
            blob.inner.file.verify_record(&inner.blobs().handles, blob.key(), blob.blob_ref())?;
            self.report.bytes_written += blob.blob_ref().stored_len;
        }
        Ok(())
    }

    /// Copies what is to be carried into other files, as it is stored: what the owner wants there, and what was kept if that is less
    /// than half of the file.
    fn carry_all(&mut self) -> Result<()> {
        let kept = |(at, _): &(usize, Bin)| self.records.get(*at).map_or(0, Record::total_bytes);
        let kept_bytes = bytes_of(&self.passed) + self.kept.iter().map(kept).sum::<u64>();
        let mut carried = std::mem::take(&mut self.carried);
        if kept_bytes.saturating_mul(2) < self.report.bytes && !self.report.cancelled {
            carried.append(&mut self.kept);
            carried.sort_unstable_by_key(|(at, _)| *at);
        }
        let mut copies = Vec::new();
        let mut bytes = 0;
        for (at, bin) in carried {
            self.inner().check_writable()?;
            if self.owner.is_cancelled() {
                self.report.cancelled = true;
                break;
            }
            let Some(record) = self.records.get(at) else { continue };
            let Some((blob, seqno)) = self.live(record)? else { continue };
            match self.inner().copy_record(self.file, &record.key, blob, bin) {
                Ok(copy) => {
                    self.inner().pace(blob.stored_len)?;
                    bytes += blob.stored_len;
                    copies.push((copy, seqno));
                }
                // It stays, and with it the file.
                Err(error) if error.kind() == ErrorKind::Corruption => self.report.failed += 1,
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    return self.put_copies(copies).and(Err(error));
                }
                Err(error) => return Err(error),
            }
            if bytes >= CARRY_BYTES || copies.len() >= GROUP_RECORDS_MAX {
                self.put_copies(std::mem::take(&mut copies))?;
                bytes = 0;
            }
        }
        self.put_copies(copies)
    }

    fn put_copies(&mut self, copies: Vec<(PendingBlob, Seqno)>) -> Result<()> {
        self.make_sure_of(copies.iter().map(|(copy, _)| copy))?;
        for (copy, seqno) in copies {
            let key = copy.key().clone();
            let mut batch = WriteBatch::default();
            batch.require_version(self.contents, key.clone(), seqno);
            batch.put_blob(self.contents, key, &copy);
            batch.use_reserve();
            match self.db.write(batch, Durability::Buffered) {
                Ok(_) => self.report.carried += 1,
                Err(error) if error.kind() == ErrorKind::Conflict => self.report.conflicts += 1,
                Err(error) => return Err(error),
            }
        }
        self.owner.progress(&self.report);
        Ok(())
    }

    fn retire_if_dead(&mut self) -> Result<()> {
        let mut is_dead = true;
        for record in self.records.iter().chain(&self.passed) {
            is_dead = is_dead && self.live(record)?.is_none();
        }
        // Whatever took the last references away must be durable before the file may go, so this comes after looking. No new
        // reference can come: the file is sealed, and no write into it waits for its batch.
        self.db.sync()?;
        if is_dead {
            self.inner().retire(self.file)?;
            self.report.retired = true;
        }
        Ok(())
    }

    /// The reference to a record, if the newest version of its key is one.
    fn live(&self, record: &Record) -> Result<Option<(BlobRef, Seqno)>> {
        let found = self.contents.blob_ref(&record.key)?;
        Ok(found.filter(|(blob, _)| self.is_at(record, *blob)))
    }
}

/// Memory that judging a record takes: its value, and what it becomes.
fn charge_of(record: &Record) -> u64 {
    record.len.saturating_mul(2)
}
