//! The safetensors format: eight bytes of length, a JSON header of names to type, shape and place, the data.

use serde_json::{Map, Value, json};

use super::dtype::Dtype;
use super::{File, Form, Output, Tensor, npy};
use crate::params::Limits;
use crate::registry::Refusal;

const HEADER_BYTES_MAX: usize = 16 << 20;
const METADATA: &str = "__metadata__";

pub(super) fn read<'a>(bytes: &'a [u8], limits: &Limits) -> Result<File<'a>, Refusal> {
    let cut = || Refusal::new("its header is cut");
    let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    let header_bytes = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    if header_bytes > HEADER_BYTES_MAX {
        return Err(Refusal::new(format!("a header of {header_bytes} bytes is over {HEADER_BYTES_MAX}")));
    }
    let (header, data) = rest.split_at_checked(header_bytes).ok_or_else(cut)?;
    let header: Map<String, Value> = serde_json::from_slice(header)
        .map_err(|error| Refusal::new(format!("its header cannot be read: {error}")))?;
    if header.len() as u64 > limits.entries {
        return Err(Refusal::new(format!("{} tensors are more than {}", header.len(), limits.entries)));
    }
    let mut tensors = Vec::with_capacity(header.len());
    let mut metadata = Map::new();
    let mut named_bytes = 0usize;
    for (name, entry) in header {
        if name == METADATA {
            metadata = entry.as_object().cloned().unwrap_or_default();
            continue;
        }
        let tensor = tensor(name, &entry, data)?;
        named_bytes = named_bytes.saturating_add(tensor.data.len());
        tensors.push(tensor);
    }
    // More data than there is means that tensors overlap.
    if named_bytes > data.len() {
        return Err(Refusal::new("its tensors overlap"));
    }
    Ok(File { metadata, ..File::new(tensors, Form::Safetensors) })
}

fn tensor<'a>(name: String, entry: &Value, data: &'a [u8]) -> Result<Tensor<'a>, Refusal> {
    let odd = || Refusal::new(format!("the entry of {} cannot be read", crate::trace::cut(&name, 60)));
    let dtype = entry.get("dtype").and_then(Value::as_str).and_then(Dtype::of_safetensors).ok_or_else(odd)?;
    let numbers = |member: &str| -> Option<Vec<u64>> {
        entry.get(member)?.as_array()?.iter().map(Value::as_u64).collect()
    };
    let shape = numbers("shape").ok_or_else(odd)?;
    let (start, end) = match numbers("data_offsets").ok_or_else(odd)?.as_slice() {
        [start, end] => (usize::try_from(*start).ok(), usize::try_from(*end).ok()),
        _ => return Err(odd()),
    };
    let place = start.zip(end).and_then(|(start, end)| data.get(start..end)).ok_or_else(odd)?;
    let data = npy::exact(place, &shape, &dtype)?;
    Ok(Tensor { name, dtype, shape, is_fortran: false, data })
}

/// The data in the order of the tensors, the header padded so that it is aligned.
pub(super) fn write(tensors: &[Output], metadata: &Map<String, Value>) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.to_owned(), Value::Object(metadata.clone()));
    }
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.data.len();
        let entry =
            json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [offset, end] });
        header.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat((8 - header.len() % 8) % 8));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    tensors.iter().for_each(|tensor| bytes.extend(&tensor.data));
    bytes
}
