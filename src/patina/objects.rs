//! Objects through the handle, by their names within the default tenant.

use std::io::Read;

use bytes::Bytes;
use patina_objects::{DEFAULT_TENANT, ListFilter, Object, ObjectId, ObjectInfo, ObjectReader, PutOptions};

use super::Patina;
use crate::error::{Error, Result};

impl Patina {
    /// Stores an object; one that has the name already gets a new generation. Durable when it returns.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let id = db.put("a.txt", b"first")?;
    /// assert_eq!(db.stat("a.txt")?.id, id);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// A bad name, an object under a hold, storage that failed.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<ObjectId> {
        self.put_with(name, bytes, &PutOptions::default())
    }

    /// Stores an object under a policy, at a rate, with a hold or for a tenant.
    ///
    /// ```
    /// use patinadb::PutOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let slow = PutOptions { rate: Some(0.5), ..PutOptions::default() };
    /// db.put_with("a.txt", b"kept twice as long", &slow)?;
    /// assert_eq!(db.stat("a.txt")?.rate, 0.5);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::put`], and a policy or rate that is not there or not allowed.
    pub fn put_with(&self, name: &str, bytes: &[u8], options: &PutOptions) -> Result<ObjectId> {
        Ok(self.store.put(name, bytes, options)?)
    }

    /// Stores an object that a reader gives: written once, never in memory as a whole.
    ///
    /// ```
    /// use patinadb::PutOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let mut source = &b"from a file or a socket"[..];
    /// db.put_reader("a.txt", &mut source, &PutOptions::default())?;
    /// assert_eq!(db.stat("a.txt")?.size, 23);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::put_with`], and the reader's; then nothing is stored.
    pub fn put_reader(&self, name: &str, reader: &mut dyn Read, options: &PutOptions) -> Result<ObjectId> {
        Ok(self.store.put_reader(name, reader, options)?)
    }

    /// Stores many objects with one sync at the end. Each appears as a whole; when the call fails, those before the
    /// failing one are there.
    ///
    /// ```
    /// use patinadb::PutOptions;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let files = [("a.txt", "first"), ("b.txt", "second")];
    /// let ids = db.put_many(files.map(|(name, text)| (name.into(), text.into(), PutOptions::default())))?;
    /// assert_eq!(ids.len(), 2);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::put_with`].
    pub fn put_many(
        &self,
        items: impl IntoIterator<Item = (String, Bytes, PutOptions)>,
    ) -> Result<Vec<ObjectId>> {
        Ok(self.store.put_many(items)?)
    }

    /// The bytes of an object as they are now, with what they are and how much is left. Raises its heat.
    ///
    /// ```
    /// use patinadb::Stage;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// # db.put("a.txt", b"first")?;
    /// let object = db.get("a.txt")?;
    /// assert_eq!((object.stage, object.fidelity), (Stage::Hot, 1.0));
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// No object of that name, one that was purged, damaged bytes.
    pub fn get(&self, name: &str) -> Result<Object> {
        Ok(self.store.get(DEFAULT_TENANT, name)?)
    }

    /// As [`Patina::get`], as a reader: piece by piece and from any place, never in memory as a whole.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// # db.put("a.txt", b"first")?;
    /// let mut reader = db.get_reader("a.txt")?;
    /// assert_eq!(&reader.read_range(1..3)?[..], b"ir");
    /// std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Patina::get`]; damage may show only where it is read.
    pub fn get_reader(&self, name: &str) -> Result<ObjectReader> {
        Ok(self.store.get_reader(DEFAULT_TENANT, name)?)
    }

    /// Everything known about an object, without reading its bytes.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.json", b"{\"a\": 1}")?;
    /// assert_eq!(db.stat("a.json")?.media_type, "application/json");
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// No object of that name.
    pub fn stat(&self, name: &str) -> Result<ObjectInfo> {
        Ok(self.store.stat(DEFAULT_TENANT, name)?)
    }

    /// The objects that pass the filter, through the index that fits it, from one snapshot.
    ///
    /// ```
    /// use patinadb::ListFilter;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("photos/a.jpg", b"...")?;
    /// db.put("notes/b.txt", b"...")?;
    /// let photos = ListFilter { name_prefix: Some("photos/".into()), ..ListFilter::default() };
    /// assert_eq!(db.list(&photos)?.count(), 1);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// Storage that failed; each row can fail by itself.
    pub fn list(&self, filter: &ListFilter) -> Result<impl Iterator<Item = Result<ObjectInfo>> + use<>> {
        Ok(self.store.list(filter)?.map(|info| info.map_err(Error::from)))
    }

    /// Deletes an object. Its history stays.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// db.put("a.txt", b"first")?;
    /// db.delete("a.txt")?;
    /// assert!(db.get("a.txt").is_err());
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    ///
    /// # Errors
    /// No object of that name, an object under a hold.
    pub fn delete(&self, name: &str) -> Result<()> {
        Ok(self.store.delete(DEFAULT_TENANT, name)?)
    }
}
