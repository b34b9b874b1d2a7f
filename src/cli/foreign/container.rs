//! Containers of `disk-objectstore` and `rsdos`: content-addressed objects, loose or in packs.
//!
//! ```text
//! config.json     {"container_version": 1, "loose_prefix_len": 2, "hash_type": "sha256", "compression_algorithm": "zlib+1", …}
//! loose/ab/cdef…  one object a file, named by its hash; the first `loose_prefix_len` characters are a folder
//! packs/0, 1, …   objects one after the other, each raw or as one zlib stream
//! packs.idx       SQLite: db_object(hashkey, compressed, size, offset, length, pack_id)
//! ```
//!
//! An object may be in both (packing leaves the loose copies until they are cleaned up): it comes once, and the
//! packed copy stands in if the loose one is damaged. Packed objects come in the order of the packs, so these are read
//! in sequence. Memory: one object that is read whole; the index is streamed.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use walkdir::WalkDir;

use super::{Place, Record};

/// What this reader knows.
const VERSION: u64 = 1;
/// Rows of the index read at a time.
const ROWS_A_PAGE: i64 = 1024;
const KEY_CHARACTERS: usize = 64;

struct Container {
    folder: PathBuf,
    prefix_characters: usize,
    index: Option<Connection>,
}

/// The objects of the container at `folder`, loose ones first.
pub(super) fn records<'a>(
    folder: &Path,
    prefix: &'a str,
) -> Result<impl Iterator<Item = Result<Record, String>> + 'a, String> {
    let container = Rc::new(Container::open(folder)?);
    let packed = Packed { container: container.clone(), last: (-1, -1, -1), page: Vec::new().into_iter() };
    let loose = WalkDir::new(container.folder.join("loose")).sort_by_file_name().into_iter();
    let loose = loose.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_file() => container.loose(entry.path()),
        Ok(_) => None,
        Err(error) => Some(Err(format!("{error}; left out"))),
    });
    Ok(loose.chain(packed).map(move |record| {
        record.map(|record| Record { name: format!("{prefix}{}", record.name), ..record })
    }))
}

impl Container {
    fn open(folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let config = folder.join("config.json");
        #[expect(clippy::disallowed_methods, reason = "the command line reads the files it is given")]
        let text = fs::read(&config).map_err(|error| {
            format!(
                "{shown} is no container: {}: {error}; name the folder with config.json in it",
                config.display()
            )
        })?;
        let config: serde_json::Value = serde_json::from_slice(&text).map_err(|error| {
            format!("{}: {error}; restore it, the container cannot be read without", config.display())
        })?;
        let version = config["container_version"].as_u64();
        if version != Some(VERSION) {
            return Err(format!("{shown} has a container version other than {VERSION}: it cannot be read"));
        }
        if config["hash_type"] != "sha256" {
            let hash = &config["hash_type"];
            return Err(format!(
                "{shown} names its objects by {hash}, and only sha256 can be checked: export it instead"
            ));
        }
        let compression = config["compression_algorithm"].as_str().unwrap_or("zlib");
        if !compression.starts_with("zlib") {
            return Err(format!(
                "{shown} compresses by {compression}, and only zlib can be read: export it instead"
            ));
        }
        let prefix_characters =
            config["loose_prefix_len"].as_u64().unwrap_or(2).min(KEY_CHARACTERS as u64) as usize;
        let index = folder.join("packs.idx");
        let index = if index.exists() {
            let opened = Connection::open_with_flags(&index, OpenFlags::SQLITE_OPEN_READ_ONLY);
            let readable = opened.and_then(|index| {
                index.query_row("SELECT count(*) FROM (SELECT 1 FROM db_object LIMIT 1)", [], |_| Ok(()))?;
                Ok(index)
            });
            Some(readable.map_err(|error| index_error(&index, &error))?)
        } else {
            None
        };
        Ok(Self { folder: folder.to_owned(), prefix_characters, index })
    }

    /// The record of a file below `loose/`, unless its name is no hash.
    fn loose(&self, path: &Path) -> Option<Result<Record, String>> {
        let below = path.strip_prefix(self.folder.join("loose")).ok()?;
        let key: String = below.components().filter_map(|part| part.as_os_str().to_str()).collect();
        let hash = decode_key(&key)?;
        Some(self.loose_record(path, key, hash))
    }

    fn loose_record(&self, path: &Path, key: String, hash: [u8; 32]) -> Result<Record, String> {
        let unreadable = |error: std::io::Error| format!("{}: {error}; left out", path.display());
        let bytes = fs::metadata(path).map_err(unreadable)?.len();
        let loose = Place { file: Arc::new(path.to_owned()), offset: 0, stored: bytes, is_zlib: false };
        let Some(packed) = self.packed(&key)? else {
            return Ok(Record { name: key, bytes, places: vec![loose], sha256: Some(hash) });
        };
        // The index says how long the object is; a loose copy that was cut off does not.
        let places = std::iter::once(loose).chain(packed.places).collect();
        Ok(Record { name: key, bytes: packed.bytes, places, sha256: Some(hash) })
    }

    fn packed(&self, key: &str) -> Result<Option<Record>, String> {
        let Some(index) = &self.index else { return Ok(None) };
        let sql =
            "SELECT pack_id, offset, id, hashkey, compressed, size, length FROM db_object WHERE hashkey = ?";
        let row = index
            .prepare_cached(sql)
            .and_then(|mut found| found.query_row([key], |row| self.record(row)).optional());
        row.map_err(|error| index_error(&self.folder.join("packs.idx"), &error)).map(Option::flatten)
    }

    /// `None` if the row's key is no hash or its numbers make no sense: it names nothing that could be checked.
    fn record(&self, row: &Row) -> rusqlite::Result<Option<Record>> {
        let (pack, offset): (i64, i64) = (row.get(0)?, row.get(1)?);
        let (key, is_zlib): (String, bool) = (row.get(3)?, row.get(4)?);
        let (size, length): (i64, i64) = (row.get(5)?, row.get(6)?);
        let file = Arc::new(self.folder.join("packs").join(pack.to_string()));
        let numbers = (u64::try_from(offset), u64::try_from(size), u64::try_from(length));
        let (Some(hash), (Ok(offset), Ok(bytes), Ok(stored))) = (decode_key(&key), numbers) else {
            return Ok(None);
        };
        let places = vec![Place { file, offset, stored, is_zlib }];
        Ok(Some(Record { name: key, bytes, places, sha256: Some(hash) }))
    }

    fn loose_path(&self, key: &str) -> PathBuf {
        let loose = self.folder.join("loose");
        match key.split_at_checked(self.prefix_characters) {
            Some((prefix, rest)) if !prefix.is_empty() => loose.join(prefix).join(rest),
            _ => loose.join(key),
        }
    }
}

/// The rows of the index in the order of the packs, without those that came as loose objects.
struct Packed {
    container: Rc<Container>,
    /// Pack, offset and row of the last one read.
    last: (i64, i64, i64),
    page: std::vec::IntoIter<Result<Record, String>>,
}

impl Packed {
    fn next_page(&mut self) -> rusqlite::Result<Vec<Result<Record, String>>> {
        let Some(index) = &self.container.index else { return Ok(Vec::new()) };
        let sql = "SELECT pack_id, offset, id, hashkey, compressed, size, length FROM db_object \
                   WHERE (pack_id, offset, id) > (?, ?, ?) ORDER BY pack_id, offset, id LIMIT ?";
        let mut statement = index.prepare_cached(sql)?;
        let (pack, offset, id) = self.last;
        let mut rows = statement.query((pack, offset, id, ROWS_A_PAGE))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            self.last = (row.get(0)?, row.get(1)?, row.get(2)?);
            page.push(
                self.container
                    .record(row)?
                    .ok_or_else(|| format!("row {} of packs.idx makes no sense; left out", self.last.2)),
            );
        }
        Ok(page)
    }
}

impl Iterator for Packed {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.page.next() {
                Some(Ok(record)) if self.container.loose_path(&record.name).exists() => {}
                Some(record) => return Some(record),
                None => match self.next_page() {
                    Ok(page) if page.is_empty() => return None,
                    Ok(page) => self.page = page.into_iter(),
                    Err(error) => {
                        self.last = (i64::MAX, i64::MAX, i64::MAX);
                        return Some(Err(index_error(&self.container.folder.join("packs.idx"), &error)));
                    }
                },
            }
        }
    }
}

fn index_error(index: &Path, error: &rusqlite::Error) -> String {
    let shown = index.display();
    format!(
        "{shown} cannot be read: {error}; its folder must be writable while it is read (or import a copy)"
    )
}

fn decode_key(key: &str) -> Option<[u8; 32]> {
    if key.len() != KEY_CHARACTERS || key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(key.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}
