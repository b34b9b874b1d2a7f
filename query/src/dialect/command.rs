//! The statements of our own: read from tokens into a [`Command`] that the session runs without SQLite.
//!
//! Statements that are promised for later, and SQLite's own that have no place here (ATTACH, PRAGMA, …), are
//! recognised too and refused with a message that says what to do instead.

use std::ops::Range;

use super::operand::Words;
use super::token::{Token, TokenKind, unquote};
use super::{SYSTEM_TABLES, SyntaxError};

/// A statement the session runs itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    /// `TICK [FORCE] [DRY RUN | CONFIRM CLOCK]`.
    Tick { force: bool, dry_run: bool, confirm_clock: bool },
    /// `SET BUDGET size [FOR TENANT 'name'] [REFUSE WRITES]`; the size with its range in the text.
    SetBudget { tenant: Option<String>, size: (String, Range<usize>), refuse_writes: bool },
    /// `DROP BUDGET [FOR TENANT 'name']`.
    DropBudget { tenant: Option<String> },
    /// `PAUSE DECAY`, `RESUME DECAY`.
    Pause { paused: bool },
    /// `CREATE POLICY name (setting = value, …)`.
    CreatePolicy { name: String, settings: Vec<Setting> },
    /// `ALTER POLICY name SET setting = value, …`.
    AlterPolicy { name: String, settings: Vec<Setting> },
    /// `DROP POLICY [IF EXISTS] name`.
    DropPolicy { name: String, if_exists: bool },
    /// `HOLD 'object' REASON 'text' [FOR 'duration']`; the duration with its range in the text.
    Hold { object: String, reason: String, duration: Option<(String, Range<usize>)> },
    /// `RELEASE 'object' [HOLD number]`.
    Release { object: String, hold: Option<u64> },
    /// `EXPLAIN DECAY 'object'`.
    ExplainDecay { object: String },
    /// `RESTORE 'object'`.
    Restore { object: String },
    /// `PURGE 'object'`.
    Purge { object: String },
    /// `PIN 'object'`, `UNPIN 'object'`.
    Pin { object: String, pinned: bool },
    /// `TOUCH 'object'`.
    Touch { object: String },
    /// `CREATE TABLE [IF NOT EXISTS] name (…)`; `definition` is the range of the parenthesised part.
    CreateTable { name: String, if_not_exists: bool, at: Range<usize>, definition: Range<usize> },
    /// `DROP TABLE [IF EXISTS] name`.
    DropTable { name: String, if_exists: bool, at: Range<usize> },
    /// `DESCRIBE name`.
    Describe { table: String, at: Range<usize> },
}

/// One `name = value` of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// In lower case.
    pub name: String,
    pub name_at: Range<usize>,
    pub value: SettingValue,
    pub value_at: Range<usize>,
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SettingValue {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
}

/// Reads a command; `None` if the statement is SQL.
pub(crate) fn parse(words: &Words<'_>) -> Result<Option<Command>, SyntaxError> {
    let mut reader = Reader { words, at: 1 };
    let first = words.text(0).to_ascii_uppercase();
    let command = match first.as_str() {
        "TICK" => tick(&mut reader)?,
        "CREATE" => create(&mut reader)?,
        "ALTER" => alter(&mut reader)?,
        "DROP" => drop_something(&mut reader)?,
        "SET" => {
            reader.keyword("BUDGET")?;
            let size = reader.size()?;
            let tenant = reader.for_tenant()?;
            let refuse_writes = reader.optional("REFUSE");
            if refuse_writes {
                reader.keyword("WRITES")?;
            }
            Command::SetBudget { tenant, size, refuse_writes }
        }
        "PAUSE" | "RESUME" => {
            reader.keyword("DECAY")?;
            Command::Pause { paused: first == "PAUSE" }
        }
        "HOLD" => {
            let object = reader.string("the object's name in quotes")?;
            reader.keyword("REASON")?;
            let reason = reader.string("the reason in quotes")?;
            let duration = if reader.optional("FOR") {
                let at = reader.range();
                Some((reader.string("a duration in quotes, such as '90 days'")?, at))
            } else {
                None
            };
            Command::Hold { object, reason, duration }
        }
        "RELEASE" if matches!(words.kind(1), Some(TokenKind::Word)) => {
            return Err(transactions_later(words));
        }
        "RELEASE" => {
            let object = reader.string("the object's name in quotes")?;
            let hold = if reader.optional("HOLD") { Some(reader.whole("the hold's number")?) } else { None };
            Command::Release { object, hold }
        }
        "RESTORE" => Command::Restore { object: reader.string("the object's name in quotes")? },
        "PURGE" => Command::Purge { object: reader.string("the object's name in quotes")? },
        "PIN" | "UNPIN" => {
            Command::Pin { object: reader.string("the object's name in quotes")?, pinned: first == "PIN" }
        }
        "TOUCH" => Command::Touch { object: reader.string("the object's name in quotes")? },
        "EXPLAIN" if words.is(1, "DECAY") => {
            reader.keyword("DECAY")?;
            Command::ExplainDecay { object: reader.string("the object's name in quotes")? }
        }
        "DESCRIBE" | "DESC" => {
            let (table, at) = reader.name("a table's name")?;
            Command::Describe { table, at }
        }
        "TABLES" => return reader.end().map(|()| None),
        "COUNT" if words.get(1).is_none() => return Err(reader.expected("a table's name")),
        "GET" if words.get(2).is_none() => {
            reader.name("a table's name")?;
            return Err(reader.expected("the key of a row"));
        }
        other => return refuse(words, other).map_or(Ok(None), Err),
    };
    reader.end()?;
    Ok(Some(command))
}

fn tick(reader: &mut Reader<'_, '_>) -> Result<Command, SyntaxError> {
    let force = reader.optional("FORCE");
    let dry_run = reader.optional("DRY");
    let confirm_clock = !dry_run && reader.optional("CONFIRM");
    if dry_run {
        reader.keyword("RUN")?;
    } else if confirm_clock {
        reader.keyword("CLOCK")?;
    } else if !reader.is_at_end() {
        let more = if force { "" } else { "FORCE, " };
        return Err(reader.expected(&format!("{more}DRY RUN, CONFIRM CLOCK or the end")));
    }
    Ok(Command::Tick { force, dry_run, confirm_clock })
}

fn create(reader: &mut Reader<'_, '_>) -> Result<Command, SyntaxError> {
    if reader.optional("POLICY") {
        let (name, _) = reader.name("the policy's name")?;
        reader.open()?;
        let settings = reader.settings()?;
        reader.close()?;
        return Ok(Command::CreatePolicy { name, settings });
    }
    if reader.optional("TABLE") {
        let if_not_exists = reader.optional("IF");
        if if_not_exists {
            reader.keyword("NOT")?;
            reader.keyword("EXISTS")?;
        }
        let (name, at) = reader.name("the table's name")?;
        if reader.words.is(reader.at, "AS") {
            return Err(reader.refused("CREATE TABLE … AS is not there yet: create the table, then INSERT"));
        }
        let definition = reader.parenthesised()?;
        if !reader.is_at_end() {
            return Err(reader
                .refused("nothing may follow the column list: STRICT and WITHOUT ROWID are not offered"));
        }
        return Ok(Command::CreateTable { name, if_not_exists, at, definition });
    }
    let message = match reader.words.text(1).to_ascii_uppercase().as_str() {
        "INDEX" | "UNIQUE" => {
            "indexes on user tables are not there yet; declare UNIQUE in CREATE TABLE for a key"
        }
        "VIEW" => "views are not there yet",
        "TRIGGER" => "there are no triggers",
        "TEMP" | "TEMPORARY" => {
            "there are no temporary tables: leave TEMP out, and DROP the table afterwards"
        }
        "VIRTUAL" => "virtual tables of your own are not offered: use CREATE TABLE",
        _ => return Err(reader.expected("TABLE or POLICY")),
    };
    Err(reader.refused(message))
}

fn alter(reader: &mut Reader<'_, '_>) -> Result<Command, SyntaxError> {
    if reader.words.is(reader.at, "TABLE") {
        return Err(
            reader.refused("ALTER TABLE is not there yet: create a new table and INSERT from the old")
        );
    }
    if !reader.optional("POLICY") {
        return Err(reader.expected("POLICY"));
    }
    let (name, _) = reader.name("the policy's name")?;
    reader.keyword("SET")?;
    Ok(Command::AlterPolicy { name, settings: reader.settings()? })
}

fn drop_something(reader: &mut Reader<'_, '_>) -> Result<Command, SyntaxError> {
    if reader.optional("BUDGET") {
        return Ok(Command::DropBudget { tenant: reader.for_tenant()? });
    }
    let policy = reader.optional("POLICY");
    if !policy && !reader.optional("TABLE") {
        let message = match reader.words.text(1).to_ascii_uppercase().as_str() {
            "INDEX" => "indexes on user tables are not there yet",
            "VIEW" => "views are not there yet",
            "TRIGGER" => "there are no triggers",
            _ => return Err(reader.expected("TABLE, POLICY or BUDGET")),
        };
        return Err(reader.refused(message));
    }
    let if_exists = reader.optional("IF");
    if if_exists {
        reader.keyword("EXISTS")?;
    }
    if policy {
        let (name, _) = reader.name("the policy's name")?;
        return Ok(Command::DropPolicy { name, if_exists });
    }
    let (name, at) = reader.name("the table's name")?;
    if SYSTEM_TABLES.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(SyntaxError::new(at, format!("{name} is always there and cannot be dropped")).refusal());
    }
    Ok(Command::DropTable { name, if_exists, at })
}

fn transactions_later(words: &Words<'_>) -> SyntaxError {
    let range = words.get(0).map_or(0..0, |token| token.start..token.end);
    SyntaxError::new(
        range,
        "transactions over several statements are not there yet: each statement commits by itself, wholly or not at all",
    )
    .refusal()
}

/// Statements that are understood and not offered.
fn refuse(words: &Words<'_>, first: &str) -> Option<SyntaxError> {
    let message = match first {
        "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT" => return Some(transactions_later(words)),
        "ATTACH" | "DETACH" => {
            "other database files cannot be attached: a session sees one PatinaDB database"
        }
        "PRAGMA" => "PRAGMA is not offered: use TABLES, DESCRIBE and SELECT FROM stats",
        "VACUUM" | "REINDEX" | "ANALYZE" => "there is no need for it: compaction runs by itself",
        "EXPLAIN" if words.is(1, "ANALYZE") => "EXPLAIN ANALYZE is not there yet; EXPLAIN shows the plan",
        _ => return None,
    };
    let range = words.get(0).map_or(0..0, |token| token.start..token.end);
    Some(SyntaxError::new(range, message).refusal())
}

/// Walks the significant tokens and words its disappointments.
struct Reader<'w, 'a> {
    words: &'w Words<'a>,
    at: usize,
}

impl Reader<'_, '_> {
    fn token(&self) -> Option<Token> {
        self.words.get(self.at)
    }

    fn is_at_end(&self) -> bool {
        self.token().is_none()
    }

    /// The range to point at: the current token, or just after the last.
    fn range(&self) -> Range<usize> {
        match (self.token(), self.words.tokens.last()) {
            (Some(token), _) => token.start..token.end,
            (None, Some(last)) => last.end..last.end,
            (None, None) => 0..0,
        }
    }

    fn expected(&self, what: &str) -> SyntaxError {
        match self.token() {
            Some(token) => {
                let found = token.text(self.words.sql);
                SyntaxError::new(self.range(), format!("expected {what}, found {found}"))
            }
            None => SyntaxError::new(self.range(), format!("expected {what}")).at_end(),
        }
    }

    fn refused(&self, message: &str) -> SyntaxError {
        SyntaxError::new(self.range(), message).refusal()
    }

    fn end(&self) -> Result<(), SyntaxError> {
        if self.is_at_end() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    fn optional(&mut self, keyword: &str) -> bool {
        let found = self.words.is(self.at, keyword);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), SyntaxError> {
        if self.optional(keyword) { Ok(()) } else { Err(self.expected(keyword)) }
    }

    fn open(&mut self) -> Result<(), SyntaxError> {
        self.punctuation(TokenKind::Open, "(")
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        self.punctuation(TokenKind::Close, "a comma or )")
    }

    fn punctuation(&mut self, kind: TokenKind, what: &str) -> Result<(), SyntaxError> {
        if self.token().is_some_and(|token| token.kind == kind) {
            self.at += 1;
            return Ok(());
        }
        Err(self.expected(what))
    }

    /// A bare or quoted name.
    fn name(&mut self, what: &str) -> Result<(String, Range<usize>), SyntaxError> {
        match self.token() {
            Some(token)
                if matches!(
                    token.kind,
                    TokenKind::Word | TokenKind::QuotedName { .. } | TokenKind::String { .. }
                ) =>
            {
                self.at += 1;
                Ok((unquote(token.text(self.words.sql)), token.start..token.end))
            }
            _ => Err(self.expected(what)),
        }
    }

    fn string(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.token() {
            Some(token) if matches!(token.kind, TokenKind::String { .. } | TokenKind::QuotedName { .. }) => {
                self.at += 1;
                Ok(unquote(token.text(self.words.sql)))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A number of bytes, or one with a unit in quotes.
    fn size(&mut self) -> Result<(String, Range<usize>), SyntaxError> {
        let at = self.range();
        match self.token() {
            Some(token) if token.kind == TokenKind::Number => {
                self.at += 1;
                Ok((token.text(self.words.sql).to_owned(), at))
            }
            _ => Ok((self.string("a number of bytes, such as 1000000 or '10 GiB'")?, at)),
        }
    }

    /// `FOR TENANT 'name'`, if it is there.
    fn for_tenant(&mut self) -> Result<Option<String>, SyntaxError> {
        if !self.optional("FOR") {
            return Ok(None);
        }
        self.keyword("TENANT")?;
        self.string("the tenant's name in quotes").map(Some)
    }

    fn whole(&mut self, what: &str) -> Result<u64, SyntaxError> {
        let number = self.token().and_then(|token| token.text(self.words.sql).parse().ok());
        let number = number.ok_or_else(|| self.expected(what))?;
        self.at += 1;
        Ok(number)
    }

    /// The byte range from `(` to its `)`.
    fn parenthesised(&mut self) -> Result<Range<usize>, SyntaxError> {
        let Some(open) = self.token().filter(|token| token.kind == TokenKind::Open) else {
            return Err(self.expected("( and the columns"));
        };
        let Some(after) = self.words.after_parenthesis(self.at) else {
            let range = open.start..open.end;
            return Err(SyntaxError::new(range, "this parenthesis is never closed").at_end());
        };
        let end = self.words.get(after - 1).map_or(open.end, |close| close.end);
        self.at = after;
        Ok(open.start..end)
    }

    fn settings(&mut self) -> Result<Vec<Setting>, SyntaxError> {
        let mut settings = Vec::new();
        loop {
            let (name, name_at) = self.name("a setting such as warm_after")?;
            if self.words.text(self.at) != "=" {
                return Err(self.expected("="));
            }
            self.at += 1;
            let start = self.range().start;
            let value = self.value()?;
            let end = self.words.get(self.at - 1).map_or(start, |token| token.end);
            settings.push(Setting { name: name.to_ascii_lowercase(), name_at, value, value_at: start..end });
            if self.token().map(|token| token.kind) != Some(TokenKind::Comma) {
                return Ok(settings);
            }
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<SettingValue, SyntaxError> {
        let negative = self.words.text(self.at) == "-";
        self.at += usize::from(negative);
        let Some(token) = self.token() else {
            return Err(self.expected("a value"));
        };
        let text = token.text(self.words.sql);
        let value = match token.kind {
            TokenKind::Number => text
                .parse()
                .ok()
                .map(|number: f64| SettingValue::Number(if negative { -number } else { number })),
            TokenKind::String { .. } | TokenKind::QuotedName { .. } if !negative => {
                Some(SettingValue::Text(unquote(text)))
            }
            TokenKind::Word if negative => None,
            TokenKind::Word => match text.to_ascii_uppercase().as_str() {
                "NULL" | "NEVER" => Some(SettingValue::Null),
                "TRUE" | "ON" | "YES" => Some(SettingValue::Boolean(true)),
                "FALSE" | "OFF" | "NO" => Some(SettingValue::Boolean(false)),
                _ => None,
            },
            _ => None,
        };
        let value =
            value.ok_or_else(|| self.expected("a value: text in quotes, a number, true, false or NULL"))?;
        self.at += 1;
        Ok(value)
    }
}
