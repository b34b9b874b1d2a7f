//! Iterating over what a transaction sees: its own writes laid over what there was when it began, from both ends.
//!
//! At each end the next of the base and the next of the own writes are looked at; the one that comes first there is given, and of two with the
//! same key the own one. To look at the next of the base it must be taken out, so each end keeps the one that it took. The two may
//! meet: what one end keeps may be all that is left for the other.

use super::Keyspace;
use super::entry::Entry;
use super::iter::Iter;
use super::transaction::{Change, Transaction};
use crate::error::Result;
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::btree_map;

/// The entries of a range as a transaction sees them, ascending; from the other end with [`Iterator::rev`] or
/// [`DoubleEndedIterator::next_back`]. Made by [`Transaction::range`] and [`Transaction::prefix`].
///
/// After an error it ends.
///
/// ```
/// # use patina_storage::*;
/// # let db = Db::open_with(std::sync::Arc::new(MemVfs::new()), "db".as_ref(), Options::default())?;
/// # let users = db.keyspace("users", KeyspaceOptions::default())?;
/// users.put("alice", "30")?;
/// let mut tx = db.transaction();
/// tx.put(&users, "bob", "25");
/// for entry in tx.range(&users, ..) {
///     assert!(entry?.value()?.len() == 2);
/// }
/// assert_eq!(tx.range(&users, ..).next_back().unwrap()?.key(), "bob");
/// # Ok::<(), Error>(())
/// ```
pub struct TransactionIter<'a> {
    transaction: &'a Transaction,
    base: Iter,
    /// What was taken out of the base at the front and at the back, and is not given yet.
    taken: [Option<Entry>; 2],
    own: Option<OwnWrites<'a>>,
}

type OwnWrites<'a> = btree_map::Range<'a, Bytes, (Keyspace, Change)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front = 0,
    Back = 1,
}

impl End {
    fn next<T>(self, iter: &mut impl DoubleEndedIterator<Item = T>) -> Option<T> {
        match self {
            Self::Front => iter.next(),
            Self::Back => iter.next_back(),
        }
    }

    /// Of two keys, which comes first from this end.
    fn order(self, a: &Bytes, b: &Bytes) -> Ordering {
        match self {
            Self::Front => a.cmp(b),
            Self::Back => b.cmp(a),
        }
    }
}

impl<'a> TransactionIter<'a> {
    pub(super) fn new(transaction: &'a Transaction, base: Iter, own: Option<OwnWrites<'a>>) -> Self {
        Self { transaction, base, taken: [None, None], own }
    }

    /// Takes the next of the base at this end.
    fn take(&mut self, end: End) -> Option<Result<Entry>> {
        let [front, back] = &mut self.taken;
        let (here, there) = if end == End::Front { (front, back) } else { (back, front) };
        here.take().map(Ok).or_else(|| end.next(&mut self.base)).or_else(|| there.take().map(Ok))
    }

    fn step(&mut self, end: End) -> Option<Result<Entry>> {
        loop {
            let next = match self.take(end) {
                Some(Err(error)) => {
                    // Nobody knows what comes next.
                    (self.own, self.taken) = (None, [None, None]);
                    return Some(Err(error));
                }
                next => next.transpose().ok().flatten(),
            };
            let own = self.own.as_ref().and_then(|own| end.next(&mut own.clone()));
            let Some((key, (_, change))) = own else { return next.map(Ok) };
            let order = next.as_ref().map_or(Ordering::Greater, |next| end.order(next.key(), key));
            if order == Ordering::Less {
                return next.map(Ok);
            }
            if order == Ordering::Greater
                && let Some(taken) = self.taken.get_mut(end as usize)
            {
                *taken = next;
            }
            self.own.as_mut().map(|own| end.next(own));
            match change {
                Change::Delete => {}
                Change::PutBlob(blob) => return Some(Ok(self.transaction.own_blob(blob))),
                Change::Put(value) => {
                    return Some(Ok(Entry::of_value(key.clone(), value.clone(), self.transaction.seqno())));
                }
            }
        }
    }
}

impl Iterator for TransactionIter<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        self.step(End::Front)
    }
}

impl DoubleEndedIterator for TransactionIter<'_> {
    fn next_back(&mut self) -> Option<Result<Entry>> {
        self.step(End::Back)
    }
}

impl std::iter::FusedIterator for TransactionIter<'_> {}
