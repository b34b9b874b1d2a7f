//! Kept originals: the way back, for a while.
//!
//! What decay takes cannot be computed back. So whoever wants a second thought has the original kept beside the degraded
//! form: from the transition that first changes its bytes (a purge counts) until the policy's `restore_window` has
//! passed. Then the next round drops it.
//!
//! The row says where it is: `original_content` is a second content that the object refers to, `original_stored` its
//! share of `stored`, `restore_until_ms` the end of the window, fixed at the loss: a policy that changes later neither
//! breaks the promise nor stretches it.
//!
//! Invariants: an object refers to its original while and only while `original_content` is set; what `stored` counts is
//! the current form and the original together; an original is never dropped before its time, nor while the object is
//! held or pinned.
//!
//! Worked example: 1000 bytes, warm after 10 days, a window of 30. On day 10 the object goes to warm with 400 bytes:
//! `stored` is 1400 and `restore_until` day 40. On day 20 it goes to cold with 90: `stored` is 1090. A restore until
//! then brings 1000 bytes and stage 0 back; a round on day 40 or later leaves 90.

use crate::clock::Timestamp;
use crate::policy::Policy;
use crate::rows::ObjectRow;
use crate::types::ContentHash;

impl ObjectRow {
    /// The content of the kept original.
    pub(crate) fn original(&self) -> Option<ContentHash> {
        self.original_content.as_deref().and_then(ContentHash::from_slice)
    }

    /// Whether the bytes as they are now are the original.
    pub(crate) fn is_original(&self) -> bool {
        self.content_hash.as_ref().is_some_and(|content| *content == self.origin_hash)
    }

    /// Every content that the object refers to, each once.
    pub(crate) fn contents(&self) -> impl Iterator<Item = ContentHash> + use<> {
        let content = self.content();
        let original = self.original().filter(|original| Some(*original) != content);
        content.into_iter().chain(original)
    }

    pub(crate) fn refers_to(&self, content: ContentHash) -> bool {
        self.contents().any(|own| own == content)
    }

    /// Bytes on disk of the current form alone.
    pub(crate) fn form_stored(&self) -> u64 {
        self.stored.saturating_sub(self.original_stored)
    }

    /// Sets the bytes on disk of the current form.
    pub(crate) fn set_form_stored(&mut self, bytes: u64) {
        self.stored = bytes.saturating_add(self.original_stored);
    }

    /// Takes notice that a content it refers to has so many bytes on disk now.
    pub(crate) fn content_is_stored_in(&mut self, content: ContentHash, bytes: u64) {
        let form_stored = if self.content() == Some(content) { bytes } else { self.form_stored() };
        if self.original() == Some(content) {
            self.original_stored = bytes;
        }
        self.set_form_stored(form_stored);
    }

    /// Keeps what `before` still had, if this row has lost it and its owner wants it kept. To be called with the new
    /// content in place and before its bytes are set.
    pub(crate) fn keep_original_of(&mut self, before: &Self, policy: &Policy, now: Timestamp) {
        let is_first_loss = before.is_original() && !self.is_original() && self.original().is_none();
        let is_wanted = (self.keep_original || policy.keep_original) && !policy.restore_window.is_zero();
        if is_first_loss && is_wanted {
            self.original_content.clone_from(&before.content_hash);
            self.original_stored = before.stored;
            self.restore_until_ms = Some(now.after(policy.restore_window).0);
        }
    }

    /// Takes the original off the row. The reference is the caller's to drop.
    pub(crate) fn forget_original(&mut self) {
        self.stored = self.form_stored();
        (self.original_content, self.original_stored, self.restore_until_ms) = (None, 0, None);
    }

    /// When the kept original goes; `None` if there is none, or if only somebody's release or unpinning lets it go.
    pub(crate) fn original_goes_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.original()?;
        if self.pinned {
            return None;
        }
        let ends = self.standing_holds(now).map(|hold| hold.until).collect::<Option<Vec<Timestamp>>>()?;
        let window_ends = Timestamp(self.restore_until_ms.unwrap_or_default());
        Some(ends.into_iter().fold(window_ends, Timestamp::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::days;
    use crate::rows::HoldRow;

    fn row(content: u8) -> ObjectRow {
        ObjectRow {
            origin_hash: vec![1; 32],
            content_hash: Some(vec![content; 32]),
            stored: 1000,
            keep_original: true,
            ..ObjectRow::default()
        }
    }

    fn policy() -> Policy {
        Policy { restore_window: days(30), ..Policy::new("p") }
    }

    fn degraded() -> ObjectRow {
        let mut after = row(2);
        after.keep_original_of(&row(1), &policy(), Timestamp(0));
        after.set_form_stored(400);
        after
    }

    #[test]
    fn the_worked_example_holds() {
        let mut after = degraded();
        assert_eq!((after.stored, after.form_stored(), after.original_stored), (1400, 400, 1000));
        assert_eq!(after.restore_until_ms, Some(days(30).as_millis() as u64));
        let before = after.clone();
        after.content_hash = Some(vec![3; 32]);
        after.keep_original_of(&before, &policy(), Timestamp(7));
        after.set_form_stored(90);
        assert_eq!((after.stored, after.restore_until_ms), (1090, before.restore_until_ms));
        after.forget_original();
        assert_eq!((after.stored, after.original(), after.restore_until_ms), (90, None, None));
    }

    #[test]
    fn nothing_is_kept_that_nobody_wants_or_that_is_not_lost() {
        let kept = |after: &mut ObjectRow, policy: &Policy| {
            after.keep_original_of(&row(1), policy, Timestamp(0));
            after.original().is_some()
        };
        assert!(kept(&mut row(2), &policy()));
        assert!(!kept(&mut row(1), &policy()), "the bytes are the original's");
        assert!(!kept(&mut row(2), &Policy { restore_window: days(0), ..policy() }));
        let mut unwanted = ObjectRow { keep_original: false, ..row(2) };
        assert!(!kept(&mut unwanted, &policy()));
        assert!(kept(&mut unwanted, &Policy { keep_original: true, ..policy() }));
    }

    #[test]
    fn holds_and_pins_keep_it_longer() {
        let day = |n| Timestamp(0).after(days(n));
        let mut after = degraded();
        assert_eq!(after.original_goes_at(day(1)), Some(day(30)));
        after.holds = vec![HoldRow { id: 1, reason: String::new(), until_ms: Some(day(40).0) }];
        assert_eq!(after.original_goes_at(day(1)), Some(day(40)));
        after.holds.push(HoldRow { id: 2, reason: String::new(), until_ms: None });
        assert_eq!(after.original_goes_at(day(1)), None);
        let pinned = ObjectRow { pinned: true, ..degraded() };
        assert_eq!(pinned.original_goes_at(day(1)), None);
    }

    #[test]
    fn a_content_that_is_stored_anew_is_counted_where_it_belongs() {
        let mut after = degraded();
        after.content_is_stored_in(ContentHash([1; 32]), 700);
        assert_eq!((after.stored, after.original_stored), (1100, 700));
        after.content_is_stored_in(ContentHash([2; 32]), 350);
        assert_eq!((after.stored, after.form_stored()), (1050, 350));
        assert_eq!(after.contents().count(), 2);
        assert!(after.refers_to(ContentHash([2; 32])) && !after.refers_to(ContentHash([9; 32])));
    }
}
