//! The rows of a query, as values with names.

use std::sync::Arc;

use patina_query::{ResultSet, Value};

/// The rows a statement gave, in order.
#[derive(Debug)]
pub struct Rows {
    columns: Arc<[String]>,
    rows: std::vec::IntoIter<Vec<Value>>,
}

impl Rows {
    /// The columns, as the statement names them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// let rows = db.query("SELECT count(*) AS objects FROM objects", ())?;
    /// assert_eq!(rows.columns(), ["objects"]);
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(crate) fn of(set: Option<ResultSet>) -> Self {
        let Some(set) = set else {
            return Self { columns: Arc::from([]), rows: Vec::new().into_iter() };
        };
        let columns = set.columns.into_iter().map(|column| column.name).collect();
        Self { columns, rows: set.rows.into_iter() }
    }
}

impl Iterator for Rows {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let values = self.rows.next()?;
        Some(Row { columns: Arc::clone(&self.columns), values })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl ExactSizeIterator for Rows {}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The value of the column called `name`; `None` where there is no such column. SQL's NULL is
    /// [`Value::Null`].
    ///
    /// ```
    /// use patinadb::Value;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = patinadb::Patina::open(dir.path())?;
    /// # db.put("note.txt", b"Copper turns green.")?;
    /// for row in db.query("SELECT name, size FROM objects WHERE stage = ?", [0])? {
    ///     assert_eq!(row.get("size"), Some(&Value::Integer(19)));
    /// }
    /// # Ok::<(), patinadb::Error>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<&Value> {
        let index = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        self.values.get(index)
    }

    /// All values, in the order of the columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
