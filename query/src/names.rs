//! The names a person may want to type, for completion.

use std::sync::Arc;

use patina_objects::ListFilter;

use crate::shared::Shared;

/// Names of tables, columns and objects; usable while the session runs.
#[derive(Clone)]
pub struct Names {
    shared: Arc<Shared>,
}

/// Keywords worth completing.
const KEYWORDS: [&str; 101] = [
    "ALL",
    "ALTER",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BUDGET",
    "BY",
    "CASE",
    "CAST",
    "CLOCK",
    "COLLATE",
    "CONFIRM",
    "CONTAINS",
    "COUNT",
    "CREATE",
    "CROSS",
    "DECAY",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "DRY",
    "ELSE",
    "END",
    "ENDSWITH",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FOR",
    "FORCE",
    "FROM",
    "FULL",
    "GET",
    "GLOB",
    "GROUP",
    "HAVING",
    "HOLD",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "ISNULL",
    "JOIN",
    "KEY",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NOTNULL",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PAUSE",
    "PIN",
    "POLICY",
    "PRIMARY",
    "PURGE",
    "REASON",
    "REFUSE",
    "RELEASE",
    "REPLACE",
    "RESTORE",
    "RESUME",
    "RETURNING",
    "RIGHT",
    "RUN",
    "SELECT",
    "SET",
    "STARTSWITH",
    "TABLE",
    "TABLES",
    "TENANT",
    "THEN",
    "TICK",
    "TOUCH",
    "TRUE",
    "UNION",
    "UNIQUE",
    "UNPIN",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WRITES",
];

impl Names {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The words of the language, in upper case, in order.
    pub fn keywords() -> impl Iterator<Item = &'static str> {
        KEYWORDS.into_iter()
    }

    pub(crate) fn is_keyword(word: &str) -> bool {
        Self::keywords().any(|keyword| keyword.eq_ignore_ascii_case(word))
    }

    /// The tables, in order.
    pub fn tables(&self) -> Vec<String> {
        self.shared.listing().iter().map(|table| table.name.clone()).collect()
    }

    /// The columns of a table, hidden ones too; those of all tables for `None`. In order, each once.
    pub fn columns(&self, table: Option<&str>) -> Vec<String> {
        let listing = self.shared.listing();
        let wanted =
            listing.iter().filter(|listed| table.is_none_or(|name| listed.name.eq_ignore_ascii_case(name)));
        let mut columns: Vec<String> =
            wanted.flat_map(|listed| listed.columns.iter().map(|column| column.name.to_string())).collect();
        if table.is_none() {
            columns.sort_unstable();
            columns.dedup();
        }
        columns
    }

    /// The statement that would create a user table.
    pub fn definition(&self, table: &str) -> Option<String> {
        self.shared.listing().iter().find(|listed| listed.name.eq_ignore_ascii_case(table))?.sql.clone()
    }

    /// Object names that begin with `prefix`, in order, at most `count`. Failing storage gives none.
    pub fn objects(&self, prefix: &str, count: usize) -> Vec<String> {
        let filter = ListFilter {
            tenant: Some(self.shared.tenant.clone()),
            name_prefix: Some(prefix.to_owned()),
            ..ListFilter::default()
        };
        let Ok(objects) = self.shared.store.list(&filter) else { return Vec::new() };
        objects.take(count).map_while(Result::ok).map(|object| object.name).collect()
    }
}
