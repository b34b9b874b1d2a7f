//! The types of numbers in tensors, little-endian, under the names that safetensors gives them.

use half::{bf16, f16};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    /// Kept as it is: its name, and bytes a value.
    Other(String, usize),
}

impl Dtype {
    const KNOWN: [(Self, &str, &str, usize); 12] = [
        (Self::F64, "F64", "<f8", 8),
        (Self::F32, "F32", "<f4", 4),
        (Self::F16, "F16", "<f2", 2),
        (Self::Bf16, "BF16", "", 2),
        (Self::I8, "I8", "|i1", 1),
        (Self::I16, "I16", "<i2", 2),
        (Self::I32, "I32", "<i4", 4),
        (Self::I64, "I64", "<i8", 8),
        (Self::U8, "U8", "|u1", 1),
        (Self::U16, "U16", "<u2", 2),
        (Self::U32, "U32", "<u4", 4),
        (Self::U64, "U64", "<u8", 8),
    ];

    pub(super) fn of_safetensors(name: &str) -> Option<Self> {
        let known = Self::KNOWN.into_iter().find(|(_, known, ..)| *known == name).map(|(dtype, ..)| dtype);
        known.or_else(|| match name {
            "BOOL" | "F8_E4M3" | "F8_E5M2" => Some(Self::Other(name.to_owned(), 1)),
            "C64" => Some(Self::Other(name.to_owned(), 8)),
            _ => None,
        })
    }

    pub(super) fn of_npy(name: &str) -> Option<Self> {
        Self::KNOWN
            .into_iter()
            .find(|(_, _, npy, _)| *npy == name && !npy.is_empty())
            .map(|(dtype, ..)| dtype)
    }

    fn known(&self) -> Option<(&'static str, &'static str, usize)> {
        Self::KNOWN
            .into_iter()
            .find(|(dtype, ..)| dtype == self)
            .map(|(_, name, npy, bytes)| (name, npy, bytes))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Other(name, _) => name.clone(),
            known => known.known().map(|(name, ..)| name).unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn npy_name(&self) -> &'static str {
        self.known().map(|(_, npy, _)| npy).unwrap_or_default()
    }

    /// Of one value.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Other(_, bytes) => *bytes,
            known => known.known().map(|(_, _, bytes)| bytes).unwrap_or(1),
        }
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    pub(super) fn is_number(&self) -> bool {
        !matches!(self, Self::Other(..))
    }

    /// The value number `at`; not a number beyond the end.
    pub(super) fn value(&self, data: &[u8], at: usize) -> f64 {
        fn read<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
            data.get(at.checked_mul(N)?..)?.first_chunk::<N>().copied()
        }
        let value = match self {
            Self::F64 => read(data, at).map(f64::from_le_bytes),
            Self::F32 => read(data, at).map(|bytes| f32::from_le_bytes(bytes).into()),
            Self::F16 => read(data, at).map(|bytes| f16::from_le_bytes(bytes).to_f64()),
            Self::Bf16 => read(data, at).map(|bytes| bf16::from_le_bytes(bytes).to_f64()),
            Self::I8 => read(data, at).map(|bytes| i8::from_le_bytes(bytes).into()),
            Self::I16 => read(data, at).map(|bytes| i16::from_le_bytes(bytes).into()),
            Self::I32 => read(data, at).map(|bytes| i32::from_le_bytes(bytes).into()),
            Self::I64 => read(data, at).map(|bytes| i64::from_le_bytes(bytes) as f64),
            Self::U8 => read(data, at).map(|bytes| u8::from_le_bytes(bytes).into()),
            Self::U16 => read(data, at).map(|bytes| u16::from_le_bytes(bytes).into()),
            Self::U32 => read(data, at).map(|bytes| u32::from_le_bytes(bytes).into()),
            Self::U64 => read(data, at).map(|bytes| u64::from_le_bytes(bytes) as f64),
            Self::Other(..) => None,
        };
        value.unwrap_or(f64::NAN)
    }

    /// Appends a value; only floats are ever written.
    pub(super) fn push(&self, value: f64, data: &mut Vec<u8>) {
        match self {
            Self::F32 => data.extend((value as f32).to_le_bytes()),
            Self::F16 => data.extend(f16::from_f64(value).to_le_bytes()),
            Self::Bf16 => data.extend(bf16::from_f64(value).to_le_bytes()),
            _ => data.extend(value.to_le_bytes()),
        }
    }
}
