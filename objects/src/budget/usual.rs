//! What a transform is expected to leave, before it has run.
//!
//! A dry run, a forecast, an explanation and the choice of victims all need bytes and fidelity of a stage that nobody has
//! made yet. Each type has a usual share that is kept at each stage; a budget mixes in what it finds: the mean of the objects
//! of that type that are in that stage already.
//!
//! Worked example: 1000 bytes of text, stored in 400. Warm usually keeps 36% of the hot bytes: 144 bytes are expected. With a
//! thousand texts in the store whose warm forms have 10% of their size, it is about 100.

use crate::rows::ObjectRow;
use crate::types::Stage;
use patina_codecs::Kind;

/// What a type usually keeps of its hot bytes at a stage.
#[derive(Clone, Copy)]
struct Share {
    /// Share of the hot bytes.
    bytes: f64,
    /// Not more than this: a description is no longer for a large object than for a small one.
    bytes_max: u64,
    fidelity: f64,
}

const fn share(percent: u64, fidelity: f64) -> Share {
    Share { bytes: percent as f64 / 100.0, bytes_max: u64::MAX, fidelity }
}

const fn description(fidelity: f64) -> Share {
    Share { bytes: 0.9, bytes_max: 1000, fidelity }
}

/// Warm and cold, by type: what real files came to, all bytes of a type together and its mean fidelity. `tests/estimates.rs`
/// measures it anew, and fails when one is twice or half as much as is said here. There is no log among the files: its figures
/// are a guess.
const fn shares(kind: Kind) -> [Share; 2] {
    match kind {
        Kind::Image => [share(27, 0.97), share(9, 0.84)],
        Kind::Text => [share(36, 0.53), share(5, 0.09)],
        Kind::Code => [share(38, 0.56), share(7, 0.14)],
        Kind::Log => [share(35, 0.8), share(8, 0.6)],
        Kind::Json => [share(25, 0.5), share(10, 0.41)],
        Kind::Table => [share(17, 0.69), share(3, 0.47)],
        Kind::Tensor => [share(47, 0.999), share(24, 0.997)],
        Kind::Document => [share(44, 0.97), share(5, 0.21)],
        Kind::Audio => [share(51, 1.0), share(24, 0.67)],
        Kind::Archive => [share(95, 1.0), description(0.05)],
        Kind::Other => [share(95, 1.0), description(0.02)],
    }
}

const TRACE_BYTES: u64 = 400;
const TRACE_FIDELITY: f64 = 0.02;

/// How much the usual figures weigh against what is found: as much as so many objects, and so many bytes.
const PRIOR_OBJECTS: f64 = 4.0;
const PRIOR_BYTES: f64 = 65_536.0;

#[derive(Clone, Copy, Default)]
struct Found {
    objects: f64,
    size: f64,
    form: f64,
    fidelity: f64,
}

/// The expected shares; those of [`Usual::default`] are the usual ones.
#[derive(Clone, Default)]
pub(crate) struct Usual {
    /// By type, in the order of [`Kind::ALL`], and stage: hot, warm, cold.
    found: Vec<[Found; 3]>,
}

impl Usual {
    /// Learns from an object in its stage.
    pub(crate) fn observe(&mut self, row: &ObjectRow) {
        let kind = row.kind();
        let Some(at) = Kind::ALL.iter().position(|known| *known == kind) else { return };
        self.found.resize(Kind::ALL.len(), Default::default());
        let Some(found) = self.found.get_mut(at).and_then(|stages| stages.get_mut(row.stage().index()))
        else {
            return;
        };
        found.objects += 1.0;
        found.size += row.size as f64;
        found.form += row.form_stored() as f64;
        found.fidelity += row.fidelity;
    }

    fn found(&self, kind: Kind, stage: Stage) -> Found {
        let at = Kind::ALL.iter().position(|known| *known == kind);
        let stages = at.and_then(|at| self.found.get(at));
        stages.and_then(|stages| stages.get(stage.index())).copied().unwrap_or_default()
    }

    /// The share of an original's size that is on disk at a stage, and the fidelity.
    fn share(&self, kind: Kind, stage: Stage) -> Share {
        let hot = self.found(kind, Stage::Hot);
        let hot_share = (PRIOR_BYTES + hot.form) / (PRIOR_BYTES + hot.size);
        let [warm, cold] = shares(kind);
        let usual = match stage {
            Stage::Warm => warm,
            Stage::Cold => cold,
            Stage::Hot | Stage::Trace | Stage::Purged => {
                return Share { bytes: hot_share, ..share(100, 1.0) };
            }
        };
        let found = self.found(kind, stage);
        let fidelity = (PRIOR_OBJECTS * usual.fidelity + found.fidelity) / (PRIOR_OBJECTS + found.objects);
        let bytes = (PRIOR_BYTES * usual.bytes * hot_share + found.form) / (PRIOR_BYTES + found.size);
        Share { bytes, fidelity, ..usual }
    }

    /// Bytes of the form and the fidelity that are expected when an object goes to a later stage.
    pub(crate) fn left(&self, row: &ObjectRow, to: Stage) -> (u64, f64) {
        let form = row.form_stored();
        match to {
            Stage::Purged => (0, 0.0),
            Stage::Trace => (form.min(TRACE_BYTES), row.fidelity.min(TRACE_FIDELITY)),
            Stage::Hot | Stage::Warm | Stage::Cold => {
                let (from, to) = (self.share(row.kind(), row.stage()), self.share(row.kind(), to));
                let bytes = form as f64 * to.bytes / from.bytes.max(f64::MIN_POSITIVE);
                let fidelity = row.fidelity * (to.fidelity / from.fidelity.max(f64::MIN_POSITIVE)).min(1.0);
                ((bytes.round() as u64).min(form).min(to.bytes_max), fidelity)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, stage: Stage, size: u64, stored: u64, fidelity: f64) -> ObjectRow {
        let (kind, stage) = (kind.as_str().to_owned(), stage.number().into());
        ObjectRow { kind, stage, size, stored, fidelity, ..ObjectRow::default() }
    }

    #[test]
    fn the_worked_example_holds() {
        let mut usual = Usual::default();
        let text = row(Kind::Text, Stage::Hot, 1000, 400, 1.0);
        assert_eq!(usual.left(&text, Stage::Warm), (144, 0.53));
        for _ in 0..1000 {
            usual.observe(&text);
            usual.observe(&row(Kind::Text, Stage::Warm, 1000, 100, 0.9));
        }
        let (bytes, fidelity) = usual.left(&text, Stage::Warm);
        assert!((95..=110).contains(&bytes) && (0.89..0.9).contains(&fidelity), "{bytes} {fidelity}");
    }

    #[test]
    fn what_is_left_never_grows_with_the_stage() {
        for kind in Kind::ALL {
            let mut last = (1_000_000, 1.0);
            for stage in Stage::ALL.into_iter().skip(1) {
                let left = Usual::default().left(&row(kind, Stage::Hot, 1_000_000, 1_000_000, 1.0), stage);
                assert!(left.0 <= last.0 && left.1 <= last.1, "{kind:?} {stage}: {left:?} after {last:?}");
                last = left;
            }
        }
    }
}
