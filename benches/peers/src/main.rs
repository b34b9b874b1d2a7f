//! The engine beside two others that a Rust program may embed, in one process and one run: an LSM-tree (fjall) and a B-tree (redb).
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`. Each engine is used as its documentation shows, with its defaults and
//! one thread; all get the same cache, the same 16-byte keys in the same random order, values that compress by half, and writes that
//! survive the process but need not survive the machine. The engines take turns, three rounds; medians are printed.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use redb::ReadableDatabase;

const CACHE_BYTES: usize = 256 << 20;
const ROUNDS: usize = 3;
const READS_MAX: u64 = 200_000;
const SHORT_RANGES_MAX: u64 = 50_000;
const SHORT_RANGE: usize = 10;
/// Sizes of values, and how many.
const SETS: [(usize, u64); 3] = [(100, 500_000), (1 << 10, 100_000), (64 << 10, 4_000)];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is asked of each engine. Reading gives the bytes of values that it saw.
trait Engine {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;
    fn get(&self, key: &[u8]) -> Result<Option<usize>>;
    /// At most so many entries, from a key on.
    fn range(&self, from: &[u8], entries_max: usize) -> Result<usize>;
    /// Brings the database to rest.
    fn compact(&self) -> Result<()>;
}

struct Patina(patina_storage::Db, patina_storage::Keyspace);

impl Patina {
    fn open(dir: &Path) -> Result<Self> {
        let options = patina_storage::Options { block_cache_bytes: CACHE_BYTES, ..Default::default() };
        let db = patina_storage::Db::open(dir, options)?;
        let keyspace = db.keyspace("bench", patina_storage::KeyspaceOptions::default())?;
        Ok(Self(db, keyspace))
    }
}

impl Engine for Patina {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut batch = self.0.batch();
        batch.put(&self.1, key.to_vec(), value.to_vec());
        self.0.write(batch, patina_storage::Durability::Buffered)?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.1.get(key)?.map(|value| value.len()))
    }

    fn range(&self, from: &[u8], entries_max: usize) -> Result<usize> {
        let mut bytes = 0;
        for entry in self.1.range(from.to_vec()..).take(entries_max) {
            bytes += entry?.value()?.len();
        }
        Ok(bytes)
    }

    fn compact(&self) -> Result<()> {
        Ok(self.0.compact()?)
    }
}

struct Fjall {
    keyspace: fjall::Keyspace,
    _db: fjall::Database,
}

impl Fjall {
    fn open(dir: &Path) -> Result<Self> {
        let db = fjall::Database::builder(dir).cache_size(CACHE_BYTES as u64).open()?;
        let keyspace = db.keyspace("bench", fjall::KeyspaceCreateOptions::default)?;
        Ok(Self { keyspace, _db: db })
    }
}

impl Engine for Fjall {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.keyspace.insert(key, value)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.keyspace.get(key)?.map(|value| value.len()))
    }

    fn range(&self, from: &[u8], entries_max: usize) -> Result<usize> {
        let mut bytes = 0;
        for entry in self.keyspace.range(from.to_vec()..).take(entries_max) {
            bytes += entry.into_inner()?.1.len();
        }
        Ok(bytes)
    }

    fn compact(&self) -> Result<()> {
        Ok(self.keyspace.major_compact()?)
    }
}

struct Redb(redb::Database);

const TABLE: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("bench");

impl Redb {
    fn open(dir: &Path) -> Result<Self> {
        let db = redb::Database::builder().set_cache_size(CACHE_BYTES).create(dir.join("bench.redb"))?;
        let transaction = db.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self(db))
    }
}

impl Engine for Redb {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(redb::Durability::None)?;
        transaction.open_table(TABLE)?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| value.value().len()))
    }

    fn range(&self, from: &[u8], entries_max: usize) -> Result<usize> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut bytes = 0;
        for entry in table.range(from..)?.take(entries_max) {
            bytes += entry?.1.value().len();
        }
        Ok(bytes)
    }

    fn compact(&self) -> Result<()> {
        Ok(())
    }
}

/// The finaliser of splitmix64: a fixed permutation of the numbers.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The n-th key; keys lie in random order.
fn key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(n).to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

/// Half noise, half zeros.
fn value(noise: &[u8], n: u64, bytes: usize) -> Vec<u8> {
    let from = mix(n) as usize % (noise.len() - bytes / 2);
    let mut value = noise[from..from + bytes / 2].to_vec();
    value.resize(bytes, 0);
    value
}

const WORK: [&str; 5] =
    ["fill, random order", "read", "read what is not there", "ten entries", "scan, entries"];

/// Operations a second of each kind of work.
fn measure(engine: &dyn Engine, noise: &[u8], bytes: usize, keys: u64) -> Result<[f64; WORK.len()]> {
    let rate = |ops: u64, op: &mut dyn FnMut(u64) -> Result<()>| -> Result<f64> {
        let start = Instant::now();
        (0..ops).try_for_each(op)?;
        Ok(ops as f64 / start.elapsed().as_secs_f64())
    };
    let reads = READS_MAX.min(keys * 10);
    let any = |n: u64| key(mix(n ^ 0x5eed) % keys);
    let read = &mut |n| {
        black_box(engine.get(&any(n))?.ok_or("a key is missing")?);
        Ok(())
    };
    let fill = rate(keys, &mut |n| engine.put(&key(n), &value(noise, n, bytes)))?;
    engine.compact()?;
    // Once to fill the cache.
    rate(reads, read)?;
    let hits = rate(reads, read)?;
    let misses = rate(reads, &mut |n| match engine.get(&key(keys + n))? {
        None => Ok(()),
        Some(_) => Err("a key that was never put is there".into()),
    })?;
    let short = rate(SHORT_RANGES_MAX.min(reads), &mut |n| {
        black_box(engine.range(&any(n), SHORT_RANGE)?);
        Ok(())
    })?;
    let scan = rate(1, &mut |_| match engine.range(&[], usize::MAX)? {
        seen if seen as u64 == keys * bytes as u64 => Ok(()),
        seen => Err(format!("a scan saw {seen} bytes").into()),
    })?;
    Ok([fill, hits, misses, short, scan * keys as f64])
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() -> Result<()> {
    let noise: Vec<u8> = (0..1 << 17).flat_map(|n| mix(n).to_le_bytes()).collect();
    println!("thousand ops a second, medians of {ROUNDS} rounds\n");
    println!("| value | work | patina-storage | fjall | redb |\n|---|---|---|---|---|");
    for (bytes, keys) in SETS {
        let mut figures = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (engine, figures) in figures.iter_mut().enumerate() {
                let dir = tempfile::tempdir()?;
                let opened: Box<dyn Engine> = match engine {
                    0 => Box::new(Patina::open(dir.path())?),
                    1 => Box::new(Fjall::open(dir.path())?),
                    _ => Box::new(Redb::open(dir.path())?),
                };
                figures.push(measure(&*opened, &noise, bytes, keys)?);
            }
        }
        for (work, name) in WORK.iter().enumerate() {
            let of = |engine: usize| median(figures[engine].iter().map(|round| round[work] / 1e3).collect());
            println!("| {bytes} B | {name} | {:.1} | {:.1} | {:.1} |", of(0), of(1), of(2));
        }
    }
    Ok(())
}
