//! A signed byte a value, and a scale for each block of values: value = byte × scale.
//!
//! The scale is the greatest magnitude of the block over 127, so a byte is wrong by at most half a scale. A table
//! (two dimensions, at least four times as many rows as columns) has blocks of 64 rows of one column, because columns
//! differ in size: `x[i, j] * scale[i // 64, j]`. Anything else has blocks of 64 values in the order of rows:
//! `x.flat[k] * scale[k // 64]`. The shape of the scales tells which.

use super::Tensor;

/// Values of a block.
pub(super) const BLOCK: usize = 64;
/// Says in the file's metadata what the bytes are.
pub(super) const FORM: &str =
    "int8 1: x[i,j] * x.scale[i//64,j] where the scale has two dimensions, else x.flat[k] * x.scale[k//64]";

/// Which value is in which block.
pub(super) struct Layout {
    /// Of a table.
    columns: Option<usize>,
    count: usize,
}

impl Layout {
    /// `count` is the product of the shape.
    pub(super) fn of(shape: &[u64], count: usize) -> Self {
        let columns = match shape {
            [rows, columns] if *columns > 0 && *rows / 4 >= *columns => usize::try_from(*columns).ok(),
            _ => None,
        };
        Self { columns, count }
    }

    /// The block of the value number `at` in the order of rows.
    pub(super) fn block_of(&self, at: usize) -> usize {
        match self.columns {
            Some(columns) => at / columns / BLOCK * columns + at % columns,
            None => at / BLOCK,
        }
    }

    fn blocks(&self) -> usize {
        match self.columns {
            Some(columns) => (self.count / columns).div_ceil(BLOCK) * columns,
            None => self.count.div_ceil(BLOCK),
        }
    }

    pub(super) fn scale_shape(&self) -> Vec<u64> {
        match self.columns {
            Some(columns) => vec![(self.blocks() / columns) as u64, columns as u64],
            None => vec![self.blocks() as u64],
        }
    }
}

/// The bytes, the scales as f32, and the relative error. All values must be finite. O(values).
pub(super) fn quantised(tensor: &Tensor<'_>, layout: &Layout) -> (Vec<u8>, Vec<u8>, f64) {
    let count = tensor.count();
    let mut greatest = vec![0f64; layout.blocks()];
    for at in 0..count {
        let block = &mut greatest[layout.block_of(at)];
        *block = block.max(tensor.value_by_rows(at).abs());
    }
    // A scale is stored as f32: what is divided by is what will be multiplied with.
    let scales: Vec<f32> =
        greatest.iter().map(|greatest| (greatest / 127.0).min(f64::from(f32::MAX)) as f32).collect();
    let mut errors = vec![(0f64, 0f64); layout.blocks()];
    let mut bytes = Vec::with_capacity(count);
    for at in 0..count {
        let block = layout.block_of(at);
        let (value, scale) = (tensor.value_by_rows(at), f64::from(scales[block]));
        let byte = if scale > 0.0 { (value / scale).round().clamp(-127.0, 127.0) as i8 } else { 0 };
        bytes.extend(byte.to_le_bytes());
        // Taken relative to the greatest, squares cannot overflow.
        let unit = if greatest[block] > 0.0 { greatest[block] } else { 1.0 };
        let (lost, was) = ((value - f64::from(byte) * scale) / unit, value / unit);
        errors[block].0 += lost * lost;
        errors[block].1 += was * was;
    }
    let mut error = RelativeError::default();
    errors.into_iter().for_each(|(lost, was)| error.add_block(lost, was));
    (bytes, scales.iter().flat_map(|scale| scale.to_le_bytes()).collect(), error.mean())
}

/// √(mean over blocks of ‖x − y‖² / ‖x‖²).
#[derive(Default)]
pub(super) struct RelativeError {
    lost: f64,
    was: f64,
    sum: f64,
    blocks: u64,
}

impl RelativeError {
    pub(super) fn add(&mut self, value: f64, now: f64) {
        self.lost += (value - now) * (value - now);
        self.was += value * value;
    }

    pub(super) fn end_block(&mut self) {
        let (lost, was) = (std::mem::take(&mut self.lost), std::mem::take(&mut self.was));
        self.add_block(lost, was);
    }

    fn add_block(&mut self, lost: f64, was: f64) {
        let share = if was > 0.0 { lost / was } else { 0.0 };
        self.sum += if share.is_finite() { share.min(1.0) } else { 1.0 };
        self.blocks += 1;
    }

    pub(super) fn mean(&self) -> f64 {
        (self.sum / self.blocks.max(1) as f64).sqrt()
    }
}
