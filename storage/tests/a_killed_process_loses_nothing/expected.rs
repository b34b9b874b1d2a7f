//! What must be in the database, kept outside of it.
//!
//! Each thread of a child has keys of its own and a *journal* of its own: a line `b` with the ops before it tries something, and a line `a`
//! once that is acknowledged, or `x` if it was refused. A line is one `write`, which outlives the process. So after a kill a thread's keys must
//! be as its journal says, but for the last line: if that is a `b`, its ops are there all together, or none of them is.
//!
//! Whoever opens the database next settles that question by looking, and writes the answer into the journal: from then on it must stay.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Which keyspace: two that all threads but the last use, and one that the last one drops and makes anew.
pub const KEYSPACES: usize = 3;
pub const SCRATCH: usize = 2;

/// A value in eight bytes: a number that no other value has, and in its lowest bits the length.
pub type ValueId = u64;
pub const LEN_BITS: u32 = 20;
pub const STAGE_MAX: u8 = 2;

/// The bytes of a value: its number, its stage, then noise. Each stage has a quarter of the length of the one before.
pub fn value(id: ValueId, stage: u8) -> Vec<u8> {
    let len = ((id & ((1 << LEN_BITS) - 1)) >> (2 * stage)).max(9) as usize;
    let mut bytes = [&id.to_le_bytes()[..], &[stage]].concat();
    let mut word = id | 1;
    while bytes.len() < len {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        // Half of it compresses.
        bytes.extend_from_slice(&(word & 0xffff_ffff).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The number and the stage of a value, which must be whole.
pub fn read_value(bytes: &[u8]) -> (ValueId, u8) {
    let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes[8] <= STAGE_MAX && bytes == value(id, bytes[8]), "a value is torn: {id:#x}");
    (id, bytes[8])
}

/// A key's number; the bytes are those of the thread and this.
pub type KeyNumber = u16;

pub fn key(thread: usize, number: KeyNumber) -> Vec<u8> {
    format!("t{thread}/{number:03}").into_bytes()
}

pub fn key_number(key: &[u8]) -> KeyNumber {
    std::str::from_utf8(key).unwrap().split_once('/').unwrap().1.parse().unwrap()
}

/// What a thread's keys hold.
pub type State = [BTreeMap<KeyNumber, ValueId>; KEYSPACES];

#[derive(Clone, Debug)]
pub enum Op {
    Put(usize, KeyNumber, ValueId),
    Delete(usize, KeyNumber),
    /// From the first up to but not including the second.
    DeleteRange(usize, KeyNumber, KeyNumber),
    /// Of the scratch keyspace.
    Drop,
}

impl Op {
    pub fn apply(&self, state: &mut State) {
        match *self {
            Self::Put(keyspace, key, id) => drop(state[keyspace].insert(key, id)),
            Self::Delete(keyspace, key) => drop(state[keyspace].remove(&key)),
            Self::DeleteRange(keyspace, start, end) => {
                state[keyspace].retain(|key, _| !(start..end).contains(key));
            }
            Self::Drop => state[SCRATCH].clear(),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Put(keyspace, key, id) => format!(" p:{keyspace}:{key}:{id}"),
            Self::Delete(keyspace, key) => format!(" d:{keyspace}:{key}"),
            Self::DeleteRange(keyspace, start, end) => format!(" r:{keyspace}:{start}:{end}"),
            Self::Drop => " k".to_owned(),
        }
    }

    fn from_text(text: &str) -> Self {
        let mut parts = text.split(':');
        let kind = parts.next().unwrap();
        let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
        match kind {
            "p" => Self::Put(number() as usize, number() as KeyNumber, number()),
            "d" => Self::Delete(number() as usize, number() as KeyNumber),
            "r" => Self::DeleteRange(number() as usize, number() as KeyNumber, number() as KeyNumber),
            "k" => Self::Drop,
            other => panic!("no op begins with {other}"),
        }
    }
}

pub fn applied(state: &State, ops: &[Op]) -> State {
    let mut state = state.clone();
    ops.iter().for_each(|op| op.apply(&mut state));
    state
}

/// What a journal says.
#[derive(Default)]
pub struct Told {
    pub state: State,
    /// Was tried, and its end is not known.
    pub pending: Option<Vec<Op>>,
    pub acknowledged: u64,
}

fn journal_path(folder: &Path, thread: usize) -> PathBuf {
    folder.join(format!("journal-{thread}"))
}

/// A line that was cut was about something that had not begun.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

impl Told {
    pub fn read(folder: &Path, thread: usize) -> Self {
        let text = std::fs::read_to_string(journal_path(folder, thread)).unwrap_or_default();
        let mut told = Self::default();
        for line in whole_lines(&text) {
            let mut words = line.split(' ');
            match words.next() {
                Some("b") => told.pending = Some(words.map(Op::from_text).collect()),
                Some("a") => {
                    told.acknowledged += 1;
                    told.state = applied(&told.state, &told.pending.take().unwrap());
                }
                Some("x") => told.pending = None,
                other => panic!("no line begins with {other:?}"),
            }
        }
        told
    }
}

/// Appends to a thread's journal.
pub struct Journal {
    file: File,
    pub state: State,
    pending: Vec<Op>,
}

impl Journal {
    /// Begins it anew, with what is known to be there.
    pub fn begin(folder: &Path, thread: usize, state: State) -> Self {
        let all = state.iter().enumerate().flat_map(|(keyspace, keys)| {
            keys.iter().map(move |(key, id)| Op::Put(keyspace, *key, *id).to_text())
        });
        let text = format!("b{}\na\n", all.collect::<String>());
        let path = journal_path(folder, thread);
        replace(&path, &text);
        let file = OpenOptions::new().append(true).open(path).unwrap();
        Self { file, state, pending: Vec::new() }
    }

    pub fn tries(&mut self, ops: Vec<Op>) {
        let line: String = ops.iter().map(Op::to_text).collect();
        self.file.write_all(format!("b{line}\n").as_bytes()).unwrap();
        self.pending = ops;
    }

    pub fn acknowledged(&mut self) {
        self.file.write_all(b"a\n").unwrap();
        self.state = applied(&self.state, &std::mem::take(&mut self.pending));
    }

    pub fn refused(&mut self) {
        self.file.write_all(b"x\n").unwrap();
        self.pending.clear();
    }
}

/// A kill leaves the old text or the new.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The stages that values are known to have reached: none may be found in an earlier one again.
pub struct Decays {
    file: Mutex<File>,
    reached: Mutex<HashMap<ValueId, u8>>,
}

impl Decays {
    fn path(folder: &Path) -> PathBuf {
        folder.join("decays")
    }

    fn read(folder: &Path) -> HashMap<ValueId, u8> {
        let text = std::fs::read_to_string(Self::path(folder)).unwrap_or_default();
        let mut reached = HashMap::new();
        for line in whole_lines(&text) {
            let (id, stage) = line.split_once(' ').unwrap();
            let (id, stage): (ValueId, u8) = (id.parse().unwrap(), stage.parse().unwrap());
            let known = reached.entry(id).or_insert(stage);
            *known = stage.max(*known);
        }
        reached
    }

    /// Forgets the values that are gone.
    pub fn begin(folder: &Path, states: &[State]) -> Self {
        let mut reached = Self::read(folder);
        let live: std::collections::HashSet<ValueId> =
            states.iter().flatten().flat_map(BTreeMap::values).copied().collect();
        reached.retain(|id, _| live.contains(id));
        let text: String = reached.iter().map(|(id, stage)| format!("{id} {stage}\n")).collect();
        replace(&Self::path(folder), &text);
        let file = OpenOptions::new().append(true).open(Self::path(folder)).unwrap();
        Self { file: Mutex::new(file), reached: Mutex::new(reached) }
    }

    /// Without writing anything.
    pub fn look(folder: &Path) -> HashMap<ValueId, u8> {
        Self::read(folder)
    }

    pub fn reached(&self, id: ValueId) -> u8 {
        self.reached.lock().unwrap().get(&id).copied().unwrap_or(0)
    }

    /// After the commit was acknowledged.
    pub fn acknowledged(&self, id: ValueId, stage: u8) {
        self.file.lock().unwrap().write_all(format!("{id} {stage}\n").as_bytes()).unwrap();
        self.reached.lock().unwrap().insert(id, stage);
    }
}
