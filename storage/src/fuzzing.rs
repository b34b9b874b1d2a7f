//! What the fuzz targets (`fuzz/`) and the tests of their inputs call: each function gives arbitrary bytes to the decoders of one kind of file, and
//! must come back. Whatever is wrong with the bytes is an error; a panic, an endless loop or memory without bound is a bug.
//!
//! Most bytes do not get past a checksum, so each input is also wrapped as what a checksum covers: a record of a log, a block of a table, the key and
//! value of a blob. That is what a hostile writer could do, or a bug of ours.
//!
//! Only with the feature `fuzzing`, and in this crate's own tests.

use crate::batch::decode_batch;
use crate::blob;
use crate::db::Db;
use crate::error::Result;
use crate::log::{LogReader, LogWriter};
use crate::manifest;
use crate::open_files::OpenFiles;
use crate::options::Options;
use crate::sst;
use crate::types::FileId;
use crate::vfs::{MemVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

/// The number of the file that the bytes are taken for.
pub(crate) const FILE: FileId = FileId(7);
const DIR: &str = "db";

fn file_of(vfs: &MemVfs, name: &str, bytes: &[u8]) {
    let path = Path::new(DIR).join(name);
    let written = vfs.create(&path).and_then(|file| file.write_all_at(bytes, 0));
    assert!(written.is_ok(), "memory takes what is written");
}

fn directory() -> MemVfs {
    let vfs = MemVfs::new();
    assert!(vfs.create_dir_all(Path::new(DIR)).is_ok());
    vfs
}

/// A write-ahead log, and the batches in it.
///
/// ```
/// # #[cfg(feature = "fuzzing")]
/// patina_storage::fuzzing::log(b"anything");
/// ```
pub fn log(data: &[u8]) {
    let vfs = directory();
    file_of(&vfs, "000007.log", data);
    read_log(&vfs);
    let _ = decode_batch(data);
    if let Ok(mut log) = LogWriter::create(&vfs, Path::new(DIR), Path::new("db/000007.log").to_owned(), FILE)
    {
        let appended = log.append(data);
        assert!(appended.is_ok() && log.finish().is_ok(), "memory takes what is written");
        let records = read_log(&vfs);
        assert!(records.first().is_some_and(|record| record == data), "a record comes back as it was");
    }
}

/// All records, also those behind damage.
fn read_log(vfs: &MemVfs) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let Ok(mut reader) = LogReader::open_unchecked(vfs, Path::new("db/000007.log"), FILE) else {
        return records;
    };
    let _ = reader.check_header();
    loop {
        match reader.next_record() {
            Ok(Some((record, _))) => {
                let _ = decode_batch(&record);
                records.push(record);
            }
            Ok(None) | Err(_) => match reader.skip_damage() {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return records,
            },
        }
    }
}

/// A sorted table: header, blocks of each kind, footer.
///
/// ```
/// # #[cfg(feature = "fuzzing")]
/// patina_storage::fuzzing::table(b"anything");
/// ```
pub fn table(data: &[u8]) {
    let vfs = directory();
    file_of(&vfs, "000007.sst", data);
    read_table(&vfs);
    for bytes in sst::tables_with(FILE, data) {
        file_of(&vfs, "000007.sst", &bytes);
        read_table(&vfs);
    }
}

fn read_table(vfs: &MemVfs) {
    let files = Arc::new(OpenFiles::new(Arc::new(vfs.clone()), 4));
    sst::read_everything(vfs, files, Path::new("db/000007.sst"), FILE);
}

/// A blob file: records in one piece and in chunks, index, trailer.
///
/// ```
/// # #[cfg(feature = "fuzzing")]
/// patina_storage::fuzzing::blob_file(b"anything");
/// ```
pub fn blob_file(data: &[u8]) {
    let vfs = directory();
    let files = OpenFiles::new(Arc::new(vfs.clone()), 4);
    let path = Path::new("db/000007.blob");
    file_of(&vfs, "000007.blob", data);
    blob::read_everything(&vfs, &files, path, FILE);
    for bytes in blob::files_with(FILE, data) {
        files.forget(FILE);
        file_of(&vfs, "000007.blob", &bytes);
        blob::read_everything(&vfs, &files, path, FILE);
    }
}

/// The manifest and the pointer to it, and opening what they say.
///
/// ```
/// # #[cfg(feature = "fuzzing")]
/// patina_storage::fuzzing::manifest(b"anything");
/// ```
pub fn manifest(data: &[u8]) {
    let vfs = directory();
    file_of(&vfs, "CURRENT", data);
    let _ = manifest::Manifest::read(&vfs, Path::new(DIR));
    file_of(&vfs, "CURRENT", &manifest::current_of(FILE));
    file_of(&vfs, "MANIFEST-000007", data);
    let _ = open(&vfs);
    let path = Path::new("db/MANIFEST-000007").to_owned();
    if let Ok(mut log) = LogWriter::create(&vfs, Path::new(DIR), path, FILE) {
        assert!(log.append(data).is_ok() && log.finish().is_ok(), "memory takes what is written");
        let _ = open(&vfs);
    }
}

fn open(vfs: &MemVfs) -> Result<()> {
    let options = Options { background_threads: 0, block_cache_bytes: 1 << 20, ..Options::default() };
    let _ = Db::verify_closed(Arc::new(vfs.clone()), Path::new(DIR), |_| {})?;
    Db::open_with(Arc::new(vfs.kill()), Path::new(DIR), options)?.close()
}

#[cfg(test)]
mod tests;
