//! The npy format: a magic, a version, and a header that is a Python dict with exactly three keys.

use super::dtype::Dtype;
use super::{Output, Tensor};
use crate::registry::Refusal;

const MAGIC: &[u8] = b"\x93NUMPY";
const HEADER_BYTES_MAX: usize = 64 * 1024;
const DIMENSIONS_MAX: usize = 64;
/// The data begins at a multiple of this.
const ALIGNMENT: usize = 64;

pub(super) fn read(bytes: &[u8]) -> Result<Tensor<'_>, Refusal> {
    let cut = || Refusal::new("its header is cut");
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| Refusal::new("is no npy file"))?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
    let (header_bytes, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_le_bytes(*len)), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(len, rest)| (u32::from_le_bytes(*len) as usize, rest)),
        other => return Err(Refusal::new(format!("has the unknown version {other}"))),
    }
    .ok_or_else(cut)?;
    if header_bytes > HEADER_BYTES_MAX {
        return Err(Refusal::new(format!("a header of {header_bytes} bytes is over {HEADER_BYTES_MAX}")));
    }
    let (header, data) = rest.split_at_checked(header_bytes).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| Refusal::new("its header is no text"))?;
    let odd = || Refusal::new("its header cannot be read");
    let descr = after(header, "descr").and_then(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        rest.get(1..)?.split_once(quote)
    });
    let (descr, _) = descr.ok_or_else(|| Refusal::new("is of a compound type"))?;
    let dtype = Dtype::of_npy(descr).ok_or_else(|| Refusal::new(format!("is of the type {descr}")))?;
    let is_fortran = after(header, "fortran_order").ok_or_else(odd)?.starts_with("True");
    let shape =
        after(header, "shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or_else(odd)?.0;
    let shape: Vec<u64> = shape
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().map_err(|_| odd()))
        .collect::<Result<_, _>>()?;
    if shape.len() > DIMENSIONS_MAX {
        return Err(Refusal::new(format!("has {} dimensions", shape.len())));
    }
    let data = exact(data, &shape, &dtype)?;
    Ok(Tensor { name: "array".to_owned(), dtype, shape, is_fortran, data })
}

/// The data if it is as long as the shape says.
pub(super) fn exact<'a>(data: &'a [u8], shape: &[u64], dtype: &Dtype) -> Result<&'a [u8], Refusal> {
    let needed = shape
        .iter()
        .try_fold(dtype.bytes() as u64, |product, side| product.checked_mul(*side))
        .filter(|needed| *needed == data.len() as u64);
    match needed {
        Some(_) => Ok(data),
        None => Err(Refusal::new(format!("its shape does not fit its {} bytes of data", data.len()))),
    }
}

/// What stands after a key of the dict.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) =
        header.split_once(&format!("'{key}'")).or_else(|| header.split_once(&format!("\"{key}\"")))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// Version 1.0: headers of this many dimensions fit into it.
pub(super) fn write(tensor: &Output) -> Vec<u8> {
    let sides: Vec<String> = tensor.shape.iter().map(|side| format!("{side},")).collect();
    let order = if tensor.is_fortran { "True" } else { "False" };
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': {order}, 'shape': ({}), }}",
        tensor.dtype.npy_name(),
        sides.join(" ")
    );
    let preamble_bytes = MAGIC.len() + 4;
    let padding = (ALIGNMENT - (preamble_bytes + header.len() + 1) % ALIGNMENT) % ALIGNMENT;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(&tensor.data);
    bytes
}
