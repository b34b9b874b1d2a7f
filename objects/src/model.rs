//! What goes in and out of the store: options, descriptions of objects, history rows, reports.

use crate::budget::{BudgetPlace, BudgetReport};
use crate::clock::{Timestamp, days};
use crate::due::DueTime;
use crate::transform::{CodecTransform, Transform};
use crate::types::{Hold, ObjectId, Reason, Stage};
use bytes::Bytes;
use patina_codecs::{Kind, Limits};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The tenant of objects whose owner names none.
pub const DEFAULT_TENANT: &str = "default";

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Reads that may wait in memory to be counted; when there are more, the read that comes next writes them out.
    pub pending_touches_max: usize,
    /// What an input may demand of the machine during a transform.
    pub limits: Limits,
    /// What degrades; the codecs of `patina-codecs`, without a limit of time, unless replaced.
    pub transform: Arc<dyn Transform>,
    /// Who the history says it was.
    pub actor: String,
    /// How far the clock may stand after the last time that was seen. Beyond it nothing decays by the clock until somebody
    /// confirms it; `None` trusts every clock. A clock that is set by hand is always trusted.
    pub clock_jump_max: Option<Duration>,
    /// Bytes that natural ticks may degrade in an hour, all together; what is due beyond them waits. `None` is no limit.
    pub degraded_bytes_per_hour_max: Option<u64>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            pending_touches_max: 65_536,
            limits: Limits::default(),
            transform: Arc::new(CodecTransform::default()),
            actor: "local".to_owned(),
            clock_jump_max: Some(days(30)),
            degraded_bytes_per_hour_max: None,
        }
    }
}

/// How an object is put. A put over a name that is taken makes a new generation, which has these settings and none of the old
/// one's: to keep a pin, a rate or a chosen policy, give it again.
#[derive(Clone, Debug, PartialEq)]
pub struct PutOptions {
    /// Whose it is.
    pub tenant: String,
    /// The policy by name; `None` takes the most specific that matches.
    pub policy: Option<String>,
    /// How fast it ages, 0.1 to 10; `None` is 1.
    pub rate: Option<f64>,
    /// Whether it is kept from decay.
    pub pinned: bool,
    /// Whether to keep the original beside the degraded bytes for the policy's `restore_window`, so that it can be restored.
    pub keep_original: bool,
    /// The reason of a hold to place at once.
    pub hold: Option<String>,
    /// The media type, if the caller knows better than its bytes tell.
    pub media_type: Option<String>,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            tenant: DEFAULT_TENANT.to_owned(),
            policy: None,
            rate: None,
            pinned: false,
            keep_original: false,
            hold: None,
            media_type: None,
        }
    }
}

/// How much a read counts as an access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Somebody wants this object: weight 1.
    #[default]
    Read,
    /// One of many in a scan: the policy's `scan_weight`.
    Bulk,
    /// Export, backup, verification: nothing.
    Unseen,
}

/// An object's bytes as they are now.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its number.
    pub id: ObjectId,
    /// The bytes; at the trace stage, the summary as JSON.
    pub bytes: Bytes,
    /// The type of these bytes.
    pub media_type: String,
    /// How much is left.
    pub stage: Stage,
    /// 1 for the original bytes, falling with each transform.
    pub fidelity: f64,
}

/// Everything about an object but its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectInfo {
    /// Its number.
    pub id: ObjectId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// Whose it is.
    pub tenant: String,
    /// The coarse type of the original.
    pub kind: Kind,
    /// The type of the bytes as they are now.
    pub media_type: String,
    /// Bytes of the original.
    pub size: u64,
    /// Bytes on disk now, a kept original included; a content that objects share counts for each of them.
    pub stored: u64,
    /// How much is left.
    pub stage: Stage,
    /// The sum of its accesses, each halved every half-life.
    pub heat: f64,
    /// 1 for the original bytes, falling with each transform.
    pub fidelity: f64,
    /// The policy it follows.
    pub policy: String,
    /// When this generation was put.
    pub created_at: Timestamp,
    /// When it was last read, or put.
    pub accessed_at: Timestamp,
    /// The effective access time.
    pub effective_at: Timestamp,
    /// When its next stage is due; `None` if nothing more will happen by itself.
    pub next_decay_at: Option<Timestamp>,
    /// SHA-256 of the original.
    pub origin_hash: [u8; 32],
    /// SHA-256 of the bytes as they are now; `None` once they are gone.
    pub content_hash: Option<[u8; 32]>,
    /// Kept from decay.
    pub pinned: bool,
    /// Whether a hold stands.
    pub held: bool,
    /// The holds, ended ones too.
    pub holds: Vec<Hold>,
    /// Whether the original is still there beside the degraded bytes.
    pub original_kept: bool,
    /// Until when it can be restored.
    pub restore_until: Option<Timestamp>,
    /// How fast it ages.
    pub rate: f64,
    /// How often something was put under this name.
    pub generation: u64,
    /// Progress towards the next forced stage, 0 to 1.
    pub progress: f64,
    /// Why its last transition failed.
    pub error: Option<String>,
    /// Whether its original is to be kept at the first loss, whatever the policy says.
    pub keep_original: bool,
}

/// Which objects to list. An empty filter is all of them, by id.
///
/// The most selective index that fits is used: `id`, then `name_prefix` (with a `tenant`), `due_before`, `stage`. The
/// order of the result is that of the index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListFilter {
    /// Only this tenant's.
    pub tenant: Option<String>,
    /// Only names that begin so.
    pub name_prefix: Option<String>,
    /// Only this stage.
    pub stage: Option<Stage>,
    /// Only objects whose next stage is due at or before this time.
    pub due_before: Option<Timestamp>,
    /// Only this object.
    pub id: Option<ObjectId>,
}

/// One transition, write or control, as the history keeps it for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// Its place in the history, from 1.
    pub seq: u64,
    /// The object.
    pub object: ObjectId,
    /// Its name at that time.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
    /// When.
    pub at: Timestamp,
    /// The stage before; `None` for a new object.
    pub from: Option<Stage>,
    /// The stage after; `None` when the object is no more.
    pub to: Option<Stage>,
    /// Why.
    pub reason: Reason,
    /// Bytes on disk before.
    pub bytes_before: u64,
    /// Bytes on disk after.
    pub bytes_after: u64,
    /// Fidelity after.
    pub fidelity: f64,
    /// What the transform's fidelity measures.
    pub metric: String,
    /// The codec with its version, as `jpeg@1`; empty where none ran.
    pub codec: String,
    /// The parameters the codec chose.
    pub params: String,
    /// What a person should know.
    pub note: String,
    /// Who.
    pub actor: String,
    /// The hash of the row before; zeros for the first.
    pub prev_hash: [u8; 32],
    /// The hash of this row.
    pub hash: [u8; 32],
}

/// What to do in one round of decay.
#[derive(Clone, Copy, Default)]
pub struct TickOptions<'a> {
    /// Advance every unprotected object without waiting for its due time.
    pub force: bool,
    /// The time to decay up to; `None` is the clock's. It may not be before an earlier tick, nor beyond the year 9999.
    pub now: Option<Timestamp>,
    /// Whether the caller vouches for the clock, though it stands further ahead than
    /// [`StoreOptions::clock_jump_max`] allows.
    pub confirm_clock: bool,
    /// Told now and then how far the tick has come.
    pub progress: Option<&'a (dyn Fn(TickProgress) + Sync)>,
    /// Set by another thread, it ends the tick early: what was begun is brought to its end, the rest waits for the next.
    pub stop: Option<&'a AtomicBool>,
}

/// How far a tick has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickProgress {
    /// Objects that changed their stage.
    pub moved: u64,
    /// Bytes of them before.
    pub bytes_before: u64,
    /// Bytes of them after.
    pub bytes_after: u64,
    /// Blob files done.
    pub files_done: u64,
}

/// What arrived at one stage in a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageMoves {
    /// Objects.
    pub objects: u64,
    /// Bytes of them before.
    pub bytes_before: u64,
    /// Bytes of them after.
    pub bytes_after: u64,
}

/// What one round of decay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// The time it decayed up to.
    pub now: Timestamp,
    /// Whether it was forced.
    pub forced: bool,
    /// Objects that changed their stage, purged ones included; one that went twice counts twice.
    pub moved: u64,
    /// What arrived at each stage, by its number.
    pub by_stage: [StageMoves; 5],
    /// Bytes before, of what moved.
    pub bytes_before: u64,
    /// Bytes after, of what moved.
    pub bytes_after: u64,
    /// Of the moved, those that were purged.
    pub purged: u64,
    /// Rows of purged objects that were removed.
    pub forgotten: u64,
    /// Kept originals that were dropped, as their restore window had passed.
    pub originals_dropped: u64,
    /// Due objects that were left alone because somebody changed or read them meanwhile.
    pub left_alone: u64,
    /// Visited objects whose due time turned out to be later.
    pub postponed: u64,
    /// Visited objects that nothing may move for now: pinned, held, at their floor or last stage, failing.
    pub blocked: u64,
    /// Transitions that failed.
    pub failed: u64,
    /// Blob files that were compacted.
    pub files_compacted: u64,
    /// Contents in them that were looked at: those of the objects found due, or all of a file of which more than half goes.
    pub contents_judged: u64,
    /// More is due than [`StoreOptions::degraded_bytes_per_hour_max`] lets go in this hour.
    pub limit_reached: bool,
    /// [`TickOptions::stop`] ended it early: what is counted here is done, the rest was not looked at.
    pub stopped: bool,
    /// The budgets that were exceeded, and what came of it.
    pub budgets: Vec<BudgetReport>,
}

/// A transition that a tick would make; from a stage to itself if only the kept original goes.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedMove {
    /// The object.
    pub object: ObjectId,
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
    /// The stage now.
    pub from: Stage,
    /// The stage after.
    pub to: Stage,
    /// Bytes on disk now.
    pub bytes_before: u64,
    /// Bytes on disk after, from the usual ratio of the type and stage; the transform is not run.
    pub bytes_after_estimate: u64,
    /// Fidelity after, as usual for the type and stage.
    pub fidelity_after_estimate: f64,
    /// Why, for a person.
    pub reason: String,
}

/// What the next days bring; see [`crate::ObjectStore::forecast`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes on disk now, shared contents counted for each object.
    pub stored_now: u64,
    /// One for each day, from tomorrow on.
    pub days: Vec<ForecastDay>,
}

/// What the tick of one day brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForecastDay {
    /// Days from now, from 1.
    pub day: u32,
    /// When its tick is.
    pub at: Timestamp,
    /// What arrives at each stage, by its number; bytes after are estimates.
    pub by_stage: [StageMoves; 5],
    /// How many of these go for the sake of a budget, by stage.
    pub for_budgets: [u64; 5],
    /// Kept originals that go.
    pub originals_dropped: u64,
    /// Rows of purged objects that go.
    pub forgotten: u64,
    /// Estimated bytes after all that, less the bytes before.
    pub bytes_added: i64,
    /// Estimated bytes on disk after it, shared contents counted for each object.
    pub stored_after: u64,
}

/// Why an object is where it is, and what becomes of it; see [`crate::ObjectStore::explain_decay`].
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The object now, with its heat and effective access time.
    pub info: ObjectInfo,
    /// The half-life that heat and due times rest on.
    pub half_life: Duration,
    /// When each further stage is due, with the terms that decide it; holds and pins not counted.
    pub dues: Vec<DueTime>,
    /// Every reason for which nothing happens now.
    pub blocked_by: Vec<String>,
    /// What happens and when, if nobody reads or changes it: moves, and the end of a kept original. Budgets not counted.
    pub course: Vec<(Timestamp, PlannedMove)>,
    /// Where it stands in the queue of each budget that concerns it.
    pub budgets: Vec<BudgetPlace>,
}

/// Objects, bytes and heat of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// How many.
    pub objects: u64,
    /// Bytes of their originals.
    pub size: u64,
    /// Bytes on disk, shared contents counted for each object.
    pub stored: u64,
    /// Their heat, added up.
    pub heat: f64,
}

impl Sum {
    /// The heat of one object of the group on average; 0 if there is none.
    pub fn mean_heat(&self) -> f64 {
        if self.objects == 0 { 0.0 } else { self.heat / self.objects as f64 }
    }
}

/// Objects and bytes of the whole store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// All.
    pub all: Sum,
    /// By stage number.
    pub by_stage: [Sum; 5],
    /// By type, in the order of [`Kind::ALL`]; types without objects are left out.
    pub by_kind: Vec<(Kind, Sum)>,
    /// Distinct contents.
    pub contents: u64,
    /// Bytes on disk of the distinct contents: what deduplication leaves.
    pub content_bytes: u64,
}
