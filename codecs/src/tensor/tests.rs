use super::*;
use crate::degrade::{Content, Degraded, degrade};
use crate::params::{Limits, Params};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn bytes_of(degraded: &Degraded) -> &[u8] {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    bytes
}

fn floats(name: &str, shape: &[u64], values: &[f64], dtype: Dtype) -> Output {
    let mut data = Vec::new();
    values.iter().for_each(|value| dtype.push(*value, &mut data));
    Output { name: name.to_owned(), dtype, shape: shape.to_vec(), is_fortran: false, data }
}

/// Rows of a small, a middling and a great number.
fn table(rows: usize) -> Vec<f64> {
    (0..rows * 3)
        .map(|at| {
            [0.001, 1.0, 1000.0][at % 3]
                * (1.0 + (at * 37 % 101) as f64 / 100.0)
                * if at % 7 == 0 { -1.0 } else { 1.0 }
        })
        .collect()
}

#[test]
fn npy_stays_npy_in_half_precision() {
    let values = table(400);
    let original = npy::write(&floats("array", &[400, 3], &values, Dtype::F64));
    let warm = to(&original, NPY_MIME, Depth::Warm);
    let bytes = bytes_of(&warm);
    let header = String::from_utf8_lossy(&bytes[10..128]);
    assert!(header.starts_with("{'descr': '<f2', 'fortran_order': False, 'shape': (400, 3,), }"), "{header}");
    assert_eq!((bytes.len(), bytes[127]), (128 + 2400, b'\n'));
    let tensor = npy::read(bytes).unwrap();
    for (at, value) in values.iter().enumerate() {
        assert!((tensor.value(at) - value).abs() <= value.abs() / 1000.0, "{at}");
    }
    assert!(warm.fidelity > 0.999 && warm.fidelity < 1.0, "{}", warm.fidelity);
    assert_eq!(warm.media_type, NPY_MIME);
}

#[test]
fn cold_is_bytes_and_scales_that_give_the_values_back() {
    let values = table(400);
    let original = npy::write(&floats("array", &[400, 3], &values, Dtype::F64));
    let cold = to(&original, NPY_MIME, Depth::Cold);
    assert_eq!(cold.media_type, SAFETENSORS_MIME);
    let limits = Limits::default();
    let file = safetensors::read(bytes_of(&cold), &limits).unwrap();
    let (bytes, scale) = (&file.tensors[0], &file.tensors[1]);
    assert_eq!((bytes.name.as_str(), scale.name.as_str()), ("array", "array.scale"));
    assert_eq!((&bytes.shape, &scale.shape), (&vec![400, 3], &vec![7, 3]));
    for (at, value) in values.iter().enumerate() {
        let (row, column) = (at / 3, at % 3);
        let now = bytes.value(at) * scale.value(row / 64 * 3 + column);
        let greatest = [0.002, 2.0, 2000.0][column];
        assert!((now - value).abs() <= greatest / 127.0, "{at}: {now} for {value}");
    }
    assert!(cold.fidelity > 0.99 && cold.fidelity < to(&original, NPY_MIME, Depth::Warm).fidelity);
    assert!(file.metadata["patina"].as_str().unwrap().starts_with("int8 1"));
}

#[test]
fn columns_first_becomes_rows_first_at_cold() {
    // 2 × 3 × 100, the first index fastest.
    let by_rows: Vec<f64> = (0..600).map(f64::from).collect();
    let place = |a: usize, b: usize, c: usize| a + 2 * (b + 3 * c);
    let mut by_columns = vec![0.0; 600];
    for (at, value) in by_rows.iter().enumerate() {
        by_columns[place(at / 300, at / 100 % 3, at % 100)] = *value;
    }
    let tensor = floats("array", &[2, 3, 100], &by_columns, Dtype::F64);
    let original = npy::write(&Output { is_fortran: true, ..tensor });
    let read = npy::read(&original).unwrap();
    assert!((0..600).all(|at| read.value_by_rows(at) == by_rows[at]));
    let cold = to(&original, NPY_MIME, Depth::Cold);
    let limits = Limits::default();
    let file = safetensors::read(bytes_of(&cold), &limits).unwrap();
    let now = |at: usize| file.tensors[0].value(at) * file.tensors[1].value(at / 64);
    assert!((0..600).all(|at| (now(at) - by_rows[at]).abs() < 3.0));
    let warm = to(&original, NPY_MIME, Depth::Warm);
    assert!(npy::read(bytes_of(&warm)).unwrap().is_fortran);
}

#[test]
fn safetensors_keep_names_whole_numbers_and_texts() {
    let values: Vec<f64> = (0..1000).map(|at| f64::from(at) * 1e3).collect();
    let small: Vec<f64> = values.iter().map(|value| value / 1e9).collect();
    let whole = Output {
        data: (0..50u8).collect(),
        dtype: Dtype::U8,
        shape: vec![50],
        name: "ids".into(),
        is_fortran: false,
    };
    let mut metadata = serde_json::Map::new();
    metadata.insert("format".into(), "pt".into());
    let outputs = [
        floats("great", &[1000], &values, Dtype::F32),
        floats("small", &[10, 100], &small, Dtype::F64),
        whole,
    ];
    let original = safetensors::write(&outputs, &metadata);
    let limits = Limits::default();
    let warm = to(&original, SAFETENSORS_MIME, Depth::Warm);
    let file = safetensors::read(bytes_of(&warm), &limits).unwrap();
    let dtypes: Vec<String> =
        file.tensors.iter().map(|tensor| format!("{} {}", tensor.name, tensor.dtype.name())).collect();
    // 999 000 is beyond half precision.
    assert_eq!(dtypes, ["great BF16", "ids U8", "small F16"]);
    assert_eq!(file.metadata["format"], "pt");
    assert_eq!(file.tensors[1].data, outputs[2].data);
    let cold = to(bytes_of(&warm), SAFETENSORS_MIME, Depth::Cold);
    assert!(bytes_of(&cold).len() < bytes_of(&warm).len());
    let again = to(bytes_of(&cold), SAFETENSORS_MIME, Depth::Cold);
    assert_eq!(again.content, Content::Same, "bytes are not made of bytes");
    let Content::Trace(trace) = to(bytes_of(&cold), SAFETENSORS_MIME, Depth::Trace).content else {
        panic!("no trace")
    };
    assert!(trace.contains("great I8 1000, 0 to 99"), "{trace}");
    assert!(!trace.contains("great.scale"), "{trace}");
}

#[test]
fn what_cannot_be_rounded_is_kept() {
    let infinite = npy::write(&floats("array", &[4], &[1.0, f64::INFINITY, f64::NAN, 2.0], Dtype::F64));
    assert_eq!(to(&infinite, NPY_MIME, Depth::Cold).content, Content::Same);
    let whole = Output {
        data: vec![7; 800],
        dtype: Dtype::I64,
        shape: vec![100],
        name: "array".into(),
        is_fortran: false,
    };
    for depth in [Depth::Warm, Depth::Cold] {
        let kept = to(&npy::write(&whole), NPY_MIME, depth);
        assert_eq!(kept.content, Content::Same);
        assert!(kept.note.unwrap().contains("has no floats"));
    }
    // Beyond half precision npy still has single.
    let great: Vec<f64> = (0..200).map(|at| f64::from(at) * 1e6).collect();
    let warm = to(&npy::write(&floats("array", &[200], &great, Dtype::F64)), NPY_MIME, Depth::Warm);
    assert_eq!(warm.params, "dtype=F32");
}

#[test]
fn headers_that_lie_are_refused() {
    let fine = npy::write(&floats("array", &[100], &[1.5; 100], Dtype::F64));
    let with_shape = |shape: &str| {
        let text = String::from_utf8_lossy(&fine[..128]).replace("(100,)", shape);
        let mut bytes = fine.clone();
        bytes[10..128].copy_from_slice(&text.as_bytes()[text.len() - 118..]);
        bytes
    };
    for shape in ["(999,)", "(10,1)", "(-10,)", "(1e2,)"] {
        let kept = to(&with_shape(shape), NPY_MIME, Depth::Cold);
        assert_eq!(kept.content, Content::Same, "{shape}");
    }
    let entry = "{\"dtype\":\"F64\",\"shape\":[10],\"data_offsets\":[0,80]}";
    let overlapping = format!("{{\"a\":{entry},\"b\":{entry}}}");
    let mut bytes = (overlapping.len() as u64).to_le_bytes().to_vec();
    bytes.extend(overlapping.as_bytes());
    bytes.extend([0; 80]);
    assert!(to(&bytes, SAFETENSORS_MIME, Depth::Cold).note.unwrap().contains("overlap"));
    let few = Limits { entries: 1, ..Limits::default() };
    let kept = degrade(&bytes, SAFETENSORS_MIME, Depth::Cold, &Params::default(), &few);
    assert!(kept.note.unwrap().contains("2 tensors are more than 1"));
}

#[cfg(feature = "archives")]
mod npz {
    use super::*;
    use crate::archive::tests::zip_of;

    #[test]
    fn each_array_is_rounded_and_the_others_stay() {
        let numbers = |count: usize| (0..count).map(|n| (n as f64 / 7.0).sin() * 3.0).collect::<Vec<f64>>();
        let array = |descr: &str, count: usize, data: Vec<u8>| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({count},), }}");
            let mut out = b"\x93NUMPY\x01\0".to_vec();
            out.extend((header.len() as u16).to_le_bytes());
            out.extend(header.as_bytes());
            out.extend(data);
            out
        };
        let floats = array("<f8", 2000, numbers(2000).iter().flat_map(|value| value.to_le_bytes()).collect());
        let names = array("<U3", 2, vec![0; 24]);
        let whole = array("<i4", 4, vec![1; 16]);
        let parts = [("w.npy", floats), ("names.npy", names.clone()), ("whole.npy", whole)];
        let original = zip_of(&parts);
        assert_eq!(crate::detect(&original, "x").mime, NPZ_MIME);
        let read = |bytes: &[u8]| {
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes.to_vec())).unwrap();
            let names: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
            let entries = names.into_iter().map(|name| {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut archive.by_name(&name).unwrap(), &mut bytes).unwrap();
                (name, bytes)
            });
            entries.collect::<std::collections::BTreeMap<String, Vec<u8>>>()
        };
        let degraded = |bytes: &[u8], depth| {
            crate::degrade(bytes, NPZ_MIME, depth, &crate::Params::default(), &crate::Limits::default())
        };
        let warm = degraded(&original, Depth::Warm);
        let crate::Content::Bytes(bytes) = &warm.content else { panic!("kept: {:?}", warm.note) };
        let entries = read(bytes);
        assert_eq!(super::super::npy::read(&entries["w.npy"]).unwrap().dtype, Dtype::F16);
        assert_eq!(entries["names.npy"], names);
        assert!(warm.fidelity > 0.999, "{}", warm.fidelity);
        let cold = degraded(bytes, Depth::Cold);
        let crate::Content::Bytes(bytes) = &cold.content else { panic!("kept: {:?}", cold.note) };
        let entries = read(bytes);
        let (values, scales) = (&entries["w.npy"], &entries["w.scale.npy"]);
        let (values, scales) =
            (super::super::npy::read(values).unwrap(), super::super::npy::read(scales).unwrap());
        assert_eq!((values.dtype.clone(), scales.count()), (Dtype::I8, 2000usize.div_ceil(64)));
        for (at, expected) in numbers(2000).iter().enumerate() {
            let value = values.value(at) * scales.value(at / 64);
            assert!((value - expected).abs() < 0.03, "{value} instead of {expected}");
        }
        let again = degraded(bytes, Depth::Cold);
        assert_eq!(again.content, crate::Content::Same);
        let crate::Content::Trace(trace) = degraded(bytes, Depth::Trace).content else { panic!("no trace") };
        assert!(trace.contains("w I8 2000"), "{trace}");
    }
}
