//! How fast each codec is, and a photograph of 12 megapixels against the bare libraries in the same run.
//!
//! ```text
//! cargo bench -p patina-codecs --all-features
//! ```
//!
//! Throughput is in bytes of the input. What is left of each file, and how faithful it is, is told by the example
//! `stages`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the samples are files")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use patina_codecs::{Content, Degraded, Depth, HEAD_BYTES_MAX, Limits, Params, degrade, detect};

const FILES: [&str; 17] = [
    "samples/airports.csv",
    "samples/seattle-temps.csv",
    "samples/cars.json",
    "samples/gpl-3.txt",
    "samples/breast_cancer_f64.npy",
    "samples/coffee.png",
    "samples/rocket.jpg",
    "samples/report.docx",
    "samples/slides.pptx",
    "samples/data-model.pdf",
    "codecs/tests/fixtures/book.xlsx",
    "codecs/tests/fixtures/book.xls",
    "codecs/tests/fixtures/temperatures.ods",
    "codecs/tests/fixtures/arrays.npz",
    "codecs/tests/fixtures/texts.zip",
    "codecs/tests/fixtures/chord.wav",
    "codecs/src/table/series.rs",
];

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn each_codec(criterion: &mut Criterion) {
    for depth in [Depth::Warm, Depth::Cold, Depth::Trace] {
        let mut group = criterion.benchmark_group(depth.as_str());
        group.sample_size(10);
        for file in FILES {
            let bytes = read(file);
            let media = detect(&bytes[..bytes.len().min(HEAD_BYTES_MAX)], file);
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            let name = file.rsplit('/').next().unwrap();
            group.bench_function(name, |bencher| bencher.iter(|| to(black_box(&bytes), &media.mime, depth)));
        }
        group.finish();
    }
}

/// `coffee.png` enlarged, as a camera would write it.
fn photograph() -> Vec<u8> {
    let Content::Bytes(small) = to(&read("samples/coffee.png"), "image/png", Depth::Warm).content else {
        unreachable!("a photograph gets smaller")
    };
    let (pixels, width, height) = decoded(&small, None);
    let large = resized(&pixels, (width, height), (4000, 3000));
    encoded(&large, 4000, 3000, 92)
}

fn decoded(jpeg: &[u8], size: Option<(u16, u16)>) -> (Vec<u8>, u32, u32) {
    let mut decoder = jpeg_decoder::Decoder::new(jpeg);
    if let Some((width, height)) = size {
        decoder.scale(width, height).unwrap();
    }
    let pixels = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    (pixels, info.width.into(), info.height.into())
}

fn resized(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let source = ImageRef::new(from.0, from.1, pixels, PixelType::U8x3).unwrap();
    let mut canvas = Image::new(to.0, to.1, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&source, &mut canvas, &options).unwrap();
    canvas.into_vec()
}

fn encoded(pixels: &[u8], width: u16, height: u16, quality: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut out, quality);
    encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
    encoder.encode(pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    out
}

/// The square of pixels that the quality is searched on, and the steps of the search.
const SEARCH_PX: usize = 480;
const SEARCH_STEPS: usize = 5;

/// The same calls of the libraries as a codec makes, and nothing else: it decodes, encodes and decodes a part at
/// several qualities, encodes, and decodes what it wrote, in little. What it does beside is to compare.
fn photo_against_bare_libraries(criterion: &mut Criterion) {
    let photo = photograph();
    let warm = to(&photo, "image/jpeg", Depth::Warm);
    let quality = warm.params.split(' ').find_map(|param| param.strip_prefix("quality=")).unwrap();
    let quality: u8 = quality.parse().unwrap();
    let mut group = criterion.benchmark_group("photo of 12 megapixels");
    group.sample_size(10).throughput(Throughput::Bytes(photo.len() as u64));
    group.bench_function("warm", |bencher| bencher.iter(|| to(black_box(&photo), "image/jpeg", Depth::Warm)));
    group.bench_function("warm, bare", |bencher| {
        bencher.iter(|| {
            let (pixels, _, _) = decoded(black_box(&photo), None);
            for _ in 0..SEARCH_STEPS {
                let side = SEARCH_PX as u16;
                let part = encoded(&pixels[..SEARCH_PX * SEARCH_PX * 3], side, side, quality);
                black_box(decoded(&part, None));
            }
            let small = encoded(&pixels, 4000, 3000, quality);
            decoded(&small, Some((577, 433)))
        });
    });
    group.bench_function("warm, bare, unchecked", |bencher| {
        bencher.iter(|| {
            let (pixels, _, _) = decoded(black_box(&photo), None);
            encoded(&pixels, 4000, 3000, quality)
        });
    });
    group.bench_function("cold", |bencher| bencher.iter(|| to(black_box(&photo), "image/jpeg", Depth::Cold)));
    group.bench_function("cold, bare", |bencher| {
        bencher.iter(|| {
            let (pixels, width, height) = decoded(black_box(&photo), Some((1024, 768)));
            let small = encoded(&resized(&pixels, (width, height), (1024, 768)), 1024, 768, 35);
            decoded(&small, Some((577, 433)))
        });
    });
    group.finish();
}

criterion_group!(benches, each_codec, photo_against_bare_libraries);
criterion_main!(benches);
