//! Merging tables: leveled compaction.
//!
//! Level 0 is due when it has too many tables, a deeper level when it has too many bytes (each may hold ten times the one above). The
//! level that is most over its limit goes first. From level 0 all tables are merged into level 1; from a deeper level the
//! one table that overlaps least, relative to its size, with the level below: the fewest bytes rewritten for the bytes moved. A
//! table that overlaps with nothing below is moved by an edit alone.
//!
//! Outputs are cut only between user keys, so that all versions of a key are in one table of a level.

use super::Survivors;
use super::flush::Output;
use crate::db::Inner;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Edit, TableEdit};
use crate::merge::{LevelIter, MergeIter, Source};
use crate::sst::{Caching, Table, TableIter};
use crate::types::{KeyspaceId, Tag};
use crate::version::{LEVELS, Tree};
use std::sync::Arc;

/// A merge of tables into one level.
struct Job {
    keyspace: KeyspaceId,
    tree: Arc<Tree>,
    inputs: Vec<(usize, Vec<Arc<Table>>)>,
    output_level: usize,
}

const LEVEL_MULTIPLIER: u64 = 10;
/// Whether to stop is looked at once in this many entries.
const CANCEL_INTERVAL: u64 = 1024;

/// Does the most urgent merge; `false` if none is due.
pub(crate) fn compact_one(inner: &Inner) -> Result<bool> {
    inner.unlink_retired();
    let _one_at_a_time = inner.table_compaction.lock();
    let Some(job) = pick(inner) else { return Ok(false) };
    run(inner, &job)?;
    Ok(true)
}

/// Merges each keyspace into its deepest level.
pub(crate) fn compact_all(inner: &Inner) -> Result<()> {
    let _one_at_a_time = inner.table_compaction.lock();
    let state = inner.read_state();
    for (keyspace, tree) in &*state.version {
        let inputs: Vec<_> = (0..LEVELS)
            .map(|level| (level, tree.levels[level].clone()))
            .filter(|(_, t)| !t.is_empty())
            .collect();
        let Some((deepest, _)) = inputs.last() else { continue };
        let output_level = (*deepest).max(1);
        merge(inner, &Job { keyspace: *keyspace, tree: tree.clone(), inputs, output_level })?;
    }
    Ok(())
}

/// How far a level is over its limit; from 1 on it is due.
fn score(inner: &Inner, tree: &Tree, level: usize) -> f64 {
    if level == 0 {
        return tree.levels[0].len() as f64 / inner.options.l0_tables_trigger as f64;
    }
    tree.level_bytes(level) as f64 / level_limit(inner, level) as f64
}

/// The bytes that a level below 0 may hold.
fn level_limit(inner: &Inner, level: usize) -> u64 {
    inner.options.level1_bytes.saturating_mul(LEVEL_MULTIPLIER.saturating_pow(level.saturating_sub(1) as u32))
}

/// Bytes of tables over the limits of their levels: what is still to be merged.
pub(crate) fn debt_bytes(inner: &Inner, tree: &Tree) -> u64 {
    let excess =
        (1..LEVELS - 1).map(|level| tree.level_bytes(level).saturating_sub(level_limit(inner, level)));
    let top = if score(inner, tree, 0) >= 1.0 { tree.level_bytes(0) } else { 0 };
    top + excess.sum::<u64>()
}

fn pick(inner: &Inner) -> Option<Job> {
    let state = inner.read_state();
    let levels =
        state.version.iter().flat_map(|(keyspace, tree)| (0..LEVELS - 1).map(move |l| (keyspace, tree, l)));
    let (_, keyspace, tree, level) = levels
        .map(|(keyspace, tree, level)| (score(inner, tree, level), *keyspace, tree.clone(), level))
        .filter(|(score, ..)| *score >= 1.0)
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    let upper = if level == 0 { tree.levels[0].clone() } else { vec![least_overlap(&tree, level)?] };
    let smallest = upper.iter().map(|table| &table.properties.smallest).min()?;
    let largest = upper.iter().map(|table| &table.properties.largest).max()?;
    let lower = tree.overlapping(level + 1, smallest, largest).to_vec();
    Some(Job { keyspace, inputs: vec![(level, upper), (level + 1, lower)], output_level: level + 1, tree })
}

/// The table of a level whose merge rewrites the fewest bytes of the next level for its own. O(tables · log tables).
fn least_overlap(tree: &Tree, level: usize) -> Option<Arc<Table>> {
    let ratio = |table: &Arc<Table>| {
        let below = tree.overlapping(level + 1, &table.properties.smallest, &table.properties.largest);
        below.iter().map(|other| other.bytes).sum::<u64>() as f64 / table.bytes as f64
    };
    let ratios = tree.levels.get(level)?.iter().map(|table| (ratio(table), table));
    ratios.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, table)| table.clone())
}

fn run(inner: &Inner, job: &Job) -> Result<()> {
    if let [(_, upper), (_, lower)] = &job.inputs[..]
        && let ([table], []) = (&upper[..], &lower[..])
    {
        return install(inner, job, vec![table.clone()]);
    }
    merge(inner, job)
}

fn merge(inner: &Inner, job: &Job) -> Result<()> {
    let mut outputs = Vec::new();
    let written = write_outputs(inner, job, &mut outputs).and_then(|()| inner.sync_dir());
    if let Err(error) = written {
        inner.remove_tables(outputs.iter().map(|table| table.id));
        return Err(error);
    }
    let ids: Vec<_> = outputs.iter().map(|table| table.id).collect();
    install(inner, job, outputs).inspect_err(|_| inner.remove_outputs(ids))?;
    inner.remove_tables(job.inputs.iter().flat_map(|(_, tables)| tables).map(|table| table.id));
    Ok(())
}

fn write_outputs(inner: &Inner, job: &Job, outputs: &mut Vec<Arc<Table>>) -> Result<()> {
    let sources = job.inputs.iter().flat_map(|(level, tables)| {
        let one_by_one = *level == 0;
        let single = tables.iter().filter(move |_| one_by_one);
        let single = single.map(|table| Source::Table(TableIter::new(table.clone(), Caching::Bypass)));
        let whole = (!one_by_one).then(|| Source::Level(LevelIter::new(tables.clone(), Caching::Bypass)));
        single.chain(whole)
    });
    let mut merged = MergeIter::new(sources.collect());
    merged.seek(b"", Tag(u64::MAX))?;
    let options = inner.keyspace_options(job.keyspace);
    let compression = if job.output_level <= 1 { options.top } else { options.bottom };
    let mut output = Output::new(inner, compression);
    let mut survivors = Survivors::new(inner.snapshot_seqnos());
    let mut last_key: Option<Vec<u8>> = None;
    let mut seen = 0u64;
    while let Some((key, tag)) = merged.key() {
        seen += 1;
        if seen.is_multiple_of(CANCEL_INTERVAL) && inner.is_closing() {
            return Err(Error::new(ErrorKind::Closed, "the database is closing"));
        }
        if survivors.keeps(key, tag, || job.tree.is_bottom_for(job.output_level, key)) {
            if output.bytes() >= inner.options.table_bytes && last_key.as_deref() != Some(key) {
                outputs.extend(output.finish()?);
            }
            output.add(key, tag, &merged.value())?;
            let last = last_key.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
        }
        merged.next()?;
    }
    outputs.extend(output.finish()?);
    Ok(())
}

/// The edit: inputs out, outputs in.
fn install(inner: &Inner, job: &Job, outputs: Vec<Arc<Table>>) -> Result<()> {
    let keyspace = job.keyspace;
    let inputs = || job.inputs.iter().flat_map(|(_, tables)| tables);
    let level = job.output_level as u8;
    let removed = inputs().map(|table| TableEdit::Remove { keyspace, id: table.id });
    let added = outputs.iter().map(|table| TableEdit::Add { keyspace, id: table.id, level });
    let edit = Edit { tables: removed.chain(added).collect(), ..Edit::default() };
    inner.apply(edit, |state| {
        let version = Arc::make_mut(&mut state.version);
        let tree = Arc::make_mut(version.entry(keyspace).or_default());
        inputs().for_each(|table| tree.remove(table));
        outputs.into_iter().for_each(|table| tree.add(job.output_level, table));
    })
}
