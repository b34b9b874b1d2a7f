//! Where each byte of a rewritten statement came from.
//!
//! SQLite reports errors at byte offsets of the text it was given; people want them in the text they typed. A
//! [`Rewritten`] is built left to right from copied pieces and inserted ones; [`OffsetMap::source`] answers for
//! any offset, clamped to the original text. With `SELECT FROM t` rewritten to `SELECT * FROM t`, offset 9 (the
//! `F` of FROM) maps to 7, and the inserted `*` maps to the place it was inserted at.

/// Maps offsets of rewritten text to offsets of the original.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OffsetMap {
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    rewritten: usize,
    source: usize,
    /// How many source bytes the segment covers; 0 for inserted text.
    length: usize,
}

impl OffsetMap {
    /// The offset in the original text for an offset in the rewritten one.
    pub fn source(&self, rewritten: usize) -> usize {
        let after = self.segments.partition_point(|segment| segment.rewritten <= rewritten);
        let Some(segment) = after.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return 0;
        };
        segment.source + (rewritten - segment.rewritten).min(segment.length)
    }
}

/// A text being built from copied and inserted pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewritten {
    pub text: String,
    pub map: OffsetMap,
}

impl Rewritten {
    /// Appends source text that starts at `source`.
    pub fn copy(&mut self, piece: &str, source: usize) {
        self.map.segments.push(Segment { rewritten: self.text.len(), source, length: piece.len() });
        self.text.push_str(piece);
    }

    /// What the person typed for a piece of the rewritten text, such as an expression that SQLite names a column
    /// after; `None` if it is no such piece.
    pub fn typed<'a>(&self, piece: &str, source: &'a str) -> Option<&'a str> {
        let start = self.text.find(piece)?;
        source.get(self.map.source(start)..self.map.source(start + piece.len()))
    }

    /// Appends text of ours; errors inside it are shown at `source`.
    pub fn insert(&mut self, piece: &str, source: usize) {
        self.map.segments.push(Segment { rewritten: self.text.len(), source, length: 0 });
        self.text.push_str(piece);
    }
}
