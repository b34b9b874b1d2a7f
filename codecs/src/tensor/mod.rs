//! Arrays of numbers: fewer bits a value, in files that the same programs still read.
//!
//! # Invariants
//!
//! - Warm rounds floats to half precision and keeps the format: `numpy.load` reads the npy, safetensors the other.
//!   bfloat16, which npy does not have, is used in safetensors where its range is needed.
//! - Cold stores a signed byte a value and a scale a block: tensor `x` and its `x.scale` (see [`blocks`]). One npy
//!   cannot hold that, so it becomes safetensors; an npz can.
//! - Whole numbers, booleans and floats that are not finite are never rounded: such tensors stay as they are.
//! - Nothing is allocated before the header was held against the file's length and [`Limits`]: tensors that overlap
//!   are refused, so a small file cannot name more data than it has.
//!
//! # Example
//!
//! 569 × 30 measurements as f64 (141 kB) become f16 (34 kB), then bytes with 270 scales (18 kB).
//!
//! # Fidelity
//!
//! Metric `relative_rmse`: 1 − √(mean over blocks of 64 values of ‖x − y‖² / ‖x‖²), mean over the values of all tensors;
//! a block of small numbers counts as much as one of great ones. Names, shapes and ranges alone count a hundredth.
//!
//! [`Limits`]: crate::Limits

mod blocks;
mod dtype;
mod npy;
#[cfg(feature = "archives")]
mod npz;
mod safetensors;

use crate::degrade::Depth;
use crate::media::MediaType;
use crate::readable;
use crate::registry::{Codec, Input, Outcome, Refusal};
use crate::trace::{TraceBuilder, cut};
use blocks::Layout;
use dtype::Dtype;

pub(crate) static TENSOR: Tensors = Tensors;

const METRIC: &str = "relative_rmse";
const NPY_MIME: &str = "application/x-npy";
#[cfg(feature = "archives")]
const NPZ_MIME: &str = "application/x-npz";
const SAFETENSORS_MIME: &str = "application/x-safetensors";
const SCALE_SUFFIX: &str = ".scale";
const DESCRIBED_WORTH: f64 = 0.01;

/// An array inside a file.
#[derive(Clone, Debug)]
struct Tensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    /// Whether the first index runs fastest.
    is_fortran: bool,
    data: &'a [u8],
}

impl Tensor<'_> {
    fn count(&self) -> usize {
        self.data.len() / self.dtype.bytes().max(1)
    }

    /// The value at a place of the file. In range for every `at` below [`Tensor::count`].
    fn value(&self, at: usize) -> f64 {
        self.dtype.value(self.data, at)
    }

    /// The value at a place in the order of rows.
    fn value_by_rows(&self, at: usize) -> f64 {
        if !self.is_fortran {
            return self.value(at);
        }
        let (mut rest, mut place, mut stride) = (at, 0usize, self.count());
        // From the last index, which runs fastest in the order of rows and slowest in the file.
        for side in self.shape.iter().rev() {
            let side = usize::try_from(*side).unwrap_or(usize::MAX).max(1);
            stride /= side;
            place += rest % side * stride;
            rest /= side;
        }
        self.value(place)
    }

    fn is_finite_float(&self) -> bool {
        self.dtype.is_float() && (0..self.count()).all(|at| self.value(at).is_finite())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Npy,
    #[cfg(feature = "archives")]
    Npz,
    Safetensors,
}

/// The arrays of a file, and its texts.
struct File<'a> {
    tensors: Vec<Tensor<'a>>,
    metadata: serde_json::Map<String, serde_json::Value>,
    form: Form,
    /// Entries of an npz that are no arrays of numbers.
    #[cfg(feature = "archives")]
    untouched: Vec<(&'a str, &'a [u8])>,
}

pub(crate) struct Tensors;

impl Codec for Tensors {
    fn id(&self) -> &'static str {
        "tensor"
    }

    fn version(&self) -> u16 {
        1
    }

    fn accepts(&self, media: &MediaType) -> bool {
        #[cfg(feature = "archives")]
        if media.mime == NPZ_MIME {
            return true;
        }
        matches!(media.mime.as_ref(), NPY_MIME | SAFETENSORS_MIME)
    }

    fn degrade(&self, input: &Input<'_>) -> Result<Outcome, Refusal> {
        #[cfg(feature = "archives")]
        if input.media.mime == NPZ_MIME {
            let entries = npz::read(input)?;
            let mut file = File::new(Vec::new(), Form::Npz);
            for entry in &entries {
                match npy::read(&entry.bytes) {
                    Ok(tensor) => file.tensors.push(Tensor { name: entry.name.clone(), ..tensor }),
                    Err(_) => file.untouched.push((&entry.name, &entry.bytes)),
                }
            }
            if file.tensors.is_empty() {
                return Err(Refusal::new("has no arrays of numbers"));
            }
            return at_depth(&file, input);
        }
        let file = if input.media.mime == NPY_MIME {
            File::new(vec![npy::read(input.bytes)?], Form::Npy)
        } else {
            safetensors::read(input.bytes, input.limits)?
        };
        at_depth(&file, input)
    }
}

fn at_depth(file: &File<'_>, input: &Input<'_>) -> Result<Outcome, Refusal> {
    match input.depth {
        Depth::Warm => warm(file, input),
        Depth::Cold => cold(file, input),
        Depth::Trace => Ok(trace(file)),
    }
}

impl<'a> File<'a> {
    fn new(tensors: Vec<Tensor<'a>>, form: Form) -> Self {
        Self {
            tensors,
            metadata: serde_json::Map::new(),
            form,
            #[cfg(feature = "archives")]
            untouched: Vec::new(),
        }
    }
}

/// A tensor to be written.
struct Output {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    is_fortran: bool,
    data: Vec<u8>,
}

impl Output {
    fn unchanged(tensor: &Tensor<'_>) -> Self {
        Self {
            name: tensor.name.clone(),
            dtype: tensor.dtype.clone(),
            shape: tensor.shape.clone(),
            is_fortran: tensor.is_fortran,
            data: tensor.data.to_vec(),
        }
    }
}

/// Half precision.
fn warm(file: &File<'_>, input: &Input<'_>) -> Result<Outcome, Refusal> {
    let candidates: &[Dtype] = match file.form {
        Form::Safetensors => &[Dtype::F16, Dtype::Bf16, Dtype::F32],
        _ => &[Dtype::F16, Dtype::F32],
    };
    let (mut outputs, mut errors) = (Vec::new(), Vec::new());
    let mut chosen = Vec::new();
    for tensor in &file.tensors {
        input.deadline.check()?;
        let best = candidates
            .iter()
            .filter(|dtype| tensor.dtype.is_float() && dtype.bytes() < tensor.dtype.bytes())
            .filter_map(|dtype| Some((dtype, rounding_error(tensor, dtype)?)))
            // Of those that are small the best; a wider one only if none of them will do.
            .min_by(|a, b| a.0.bytes().cmp(&b.0.bytes()).then(a.1.total_cmp(&b.1)));
        match best {
            Some((dtype, error)) => {
                let mut data = Vec::with_capacity(tensor.count() * dtype.bytes());
                (0..tensor.count()).for_each(|at| dtype.push(tensor.value(at), &mut data));
                errors.push((tensor.count(), error));
                if !chosen.contains(&dtype.name()) {
                    chosen.push(dtype.name());
                }
                outputs.push(Output { data, dtype: dtype.clone(), ..Output::unchanged(tensor) });
            }
            None => {
                errors.push((tensor.count(), 0.0));
                outputs.push(Output::unchanged(tensor));
            }
        }
    }
    if chosen.is_empty() {
        return Ok(Outcome::Keep {
            note: Some("has no floats that can be rounded: kept as it is".to_owned()),
        });
    }
    let (bytes, mime) = match (file.form, outputs.first()) {
        (Form::Npy, Some(only)) => (npy::write(only), NPY_MIME),
        #[cfg(feature = "archives")]
        (Form::Npz, _) => (npz::write(&outputs, &file.untouched, "")?, NPZ_MIME),
        _ => (safetensors::write(&outputs, &file.metadata), SAFETENSORS_MIME),
    };
    let note = format!("floats rounded to {}", chosen.join(" and "));
    Ok(outcome(bytes, mime, &errors, format!("dtype={}", chosen.join(",")), note))
}

/// A byte a value.
fn cold(file: &File<'_>, input: &Input<'_>) -> Result<Outcome, Refusal> {
    let (mut outputs, mut errors) = (Vec::new(), Vec::new());
    let mut quantised = 0;
    for tensor in &file.tensors {
        input.deadline.check()?;
        let scale_name = format!("{}{SCALE_SUFFIX}", tensor.name);
        let is_scale = tensor
            .name
            .strip_suffix(SCALE_SUFFIX)
            .is_some_and(|of| file.tensors.iter().any(|other| other.name == of && other.dtype == Dtype::I8));
        let is_taken = file.tensors.iter().any(|other| other.name == scale_name);
        if is_scale || is_taken || tensor.count() == 0 || !tensor.is_finite_float() {
            errors.push((tensor.count(), 0.0));
            outputs.push(Output::unchanged(tensor));
            continue;
        }
        let layout = Layout::of(&tensor.shape, tensor.count());
        let (bytes, scales, error) = blocks::quantised(tensor, &layout);
        errors.push((tensor.count(), error));
        let output = Output::unchanged(tensor);
        outputs.push(Output { data: bytes, dtype: Dtype::I8, is_fortran: false, ..output });
        outputs.push(Output {
            name: scale_name,
            dtype: Dtype::F32,
            shape: layout.scale_shape(),
            is_fortran: false,
            data: scales,
        });
        quantised += 1;
    }
    if quantised == 0 {
        return Ok(Outcome::Keep {
            note: Some("has no floats that can be quantised: kept as it is".to_owned()),
        });
    }
    let mut metadata = file.metadata.clone();
    metadata.insert("patina".to_owned(), blocks::FORM.into());
    let note = format!("{quantised} of {} tensors are bytes with a scale a block", file.tensors.len());
    let params = format!("dtype=int8 block={}", blocks::BLOCK);
    let (bytes, mime) = match file.form {
        #[cfg(feature = "archives")]
        Form::Npz => (npz::write(&outputs, &file.untouched, blocks::FORM)?, NPZ_MIME),
        _ => (safetensors::write(&outputs, &metadata), SAFETENSORS_MIME),
    };
    Ok(outcome(bytes, mime, &errors, params, note))
}

fn outcome(bytes: Vec<u8>, mime: &str, errors: &[(usize, f64)], params: String, note: String) -> Outcome {
    let values = errors.iter().map(|(count, _)| *count as f64).sum::<f64>().max(1.0);
    let error = errors.iter().map(|(count, error)| *count as f64 / values * error).sum::<f64>();
    Outcome::Bytes {
        bytes,
        mime: mime.to_owned(),
        fidelity: 1.0 - error,
        metric: METRIC,
        params,
        note: Some(note),
    }
}

/// The relative error of storing a tensor as `dtype`; `None` when a value would no longer be finite.
fn rounding_error(tensor: &Tensor<'_>, dtype: &Dtype) -> Option<f64> {
    let mut error = blocks::RelativeError::default();
    let mut rounded = Vec::with_capacity(8);
    for start in (0..tensor.count()).step_by(blocks::BLOCK) {
        for at in start..(start + blocks::BLOCK).min(tensor.count()) {
            let value = tensor.value(at);
            rounded.clear();
            dtype.push(value, &mut rounded);
            let now = dtype.value(&rounded, 0);
            if value.is_finite() {
                if !now.is_finite() {
                    return None;
                }
                error.add(value, now);
            }
        }
        error.end_block();
    }
    Some(error.mean())
}

/// Names, types, shapes and ranges.
fn trace(file: &File<'_>) -> Outcome {
    let scale_of = |tensor: &Tensor<'_>| {
        let name = format!("{}{SCALE_SUFFIX}", tensor.name);
        file.tensors.iter().find(|other| tensor.dtype == Dtype::I8 && other.name == name)
    };
    let is_scale = |tensor: &Tensor<'_>| {
        file.tensors.iter().any(|other| scale_of(other).is_some_and(|scale| scale.name == tensor.name))
    };
    // With thousands of tensors the search for pairs would be quadratic; a trace has room for a few dozen.
    const DESCRIBED_MAX: usize = 100;
    let described: Vec<String> = file
        .tensors
        .iter()
        .take(DESCRIBED_MAX)
        .filter(|tensor| !is_scale(tensor))
        .map(|tensor| described(tensor, scale_of(tensor)))
        .collect();
    let mut trace = TraceBuilder::new();
    let values = file.tensors.iter().map(|tensor| tensor.count() as u64).fold(0, u64::saturating_add);
    trace.add("tensors", file.tensors.len());
    trace.add("values", values);
    let fitted = trace.add_list("list", described.iter().map(String::as_str));
    let fidelity = DESCRIBED_WORTH * fitted as f64 / file.tensors.len().max(1) as f64;
    Outcome::Trace { json: trace.finish(), fidelity, metric: METRIC, note: None }
}

/// `weights f32 512×64, -0.3 to 0.31, mean 0.001`
fn described(tensor: &Tensor<'_>, scale: Option<&Tensor<'_>>) -> String {
    let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
    let mut text = format!("{} {} {}", cut(&tensor.name, 60), tensor.dtype.name(), shape.join("×"));
    if !tensor.dtype.is_number() {
        return text;
    }
    let layout = Layout::of(&tensor.shape, tensor.count());
    let value = |at: usize| match scale {
        Some(scale) if layout.block_of(at) < scale.count() => {
            tensor.value(at) * scale.value(layout.block_of(at))
        }
        _ => tensor.value(at),
    };
    let (mut least, mut greatest, mut sum, mut finite) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0u64);
    for value in (0..tensor.count()).map(value).filter(|value| value.is_finite()) {
        (least, greatest) = (least.min(value), greatest.max(value));
        sum += value;
        finite += 1;
    }
    if finite > 0 {
        let (least, greatest) = (readable::number(least), readable::number(greatest));
        let mean = readable::number(readable::rounded(sum / finite as f64));
        text.push_str(&format!(", {least} to {greatest}, mean {mean}"));
    }
    text
}

#[cfg(test)]
mod tests;
