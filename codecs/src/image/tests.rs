use super::picture::{Filter, fit};
use super::*;
use crate::deadline::Deadline;
use crate::params::{Limits, Params, PictureFormat, Transparency};
use crate::{Content, Degraded};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    crate::degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

/// Waves with colour, so that a picture of any size has something to see.
fn waves(width: u32, height: u32) -> Picture {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let wave = (20.0 * u + 7.0 * v * v).sin() * 60.0 + 128.0;
            pixels.extend([wave as u8, (255.0 * u) as u8, (255.0 * v) as u8]);
        }
    }
    Picture::new(width, height, 3, pixels).unwrap()
}

fn grey(picture: &Picture) -> Picture {
    let pixels = picture.luma().iter().map(|value| *value as u8).collect();
    Picture::new(picture.width, picture.height, 1, pixels).unwrap()
}

fn jpeg(picture: &Picture, exif: Option<Vec<u8>>) -> Vec<u8> {
    jpeg::encode(picture, 95, &Carried { icc: None, exif }).unwrap()
}

fn decoded(degraded: &Degraded) -> Source {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    assert_eq!(degraded.media_type, "image/jpeg");
    jpeg::load(bytes, None, &Limits::default(), &Deadline::never()).unwrap()
}

/// A TIFF block with nothing but an orientation.
fn oriented_exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn each_orientation_shows_the_picture_upright() {
    // The letter F in three columns and four rows, and how each orientation stores it.
    let upright = Picture::new(3, 4, 1, b"####..##.#..".to_vec()).unwrap();
    let stored: [(u16, u32, u32, &[u8; 12]); 8] = [
        (1, 3, 4, b"####..##.#.."),
        (2, 3, 4, b"###..#.##..#"),
        (3, 3, 4, b"..#.##..####"),
        (4, 3, 4, b"#..##.#..###"),
        (5, 4, 3, b"#####.#.#..."),
        (6, 4, 3, b"#...#.#.####"),
        (7, 4, 3, b"...#.#.#####"),
        (8, 4, 3, b"####.#.#...#"),
    ];
    for (orientation, width, height, pixels) in stored {
        let picture = Picture::new(width, height, 1, pixels.to_vec()).unwrap();
        assert_eq!(picture.oriented(orientation), upright, "orientation {orientation}");
    }
}

#[test]
fn the_orientation_tag_becomes_pixels_and_goes() {
    let upright = waves(96, 64);
    // Stored as a camera held on its side stores it: turned so that orientation 6 brings it back.
    let stored = upright.clone().oriented(8);
    let file = jpeg(&stored, Some(oriented_exif(6)));
    for depth in [Depth::Warm, Depth::Cold] {
        let source = decoded(&to(&file, "image/jpeg", depth));
        assert_eq!((source.picture.width, source.picture.height), (96, 64));
        assert_eq!(exif::orientation(source.exif.as_deref().unwrap()), 1);
        assert!(similarity::compare(&upright, &source.picture).unwrap().channel_error < 8.0);
    }
}

#[test]
fn cold_is_small_and_a_small_picture_is_not_enlarged() {
    let large = to(&jpeg(&waves(2600, 1300), None), "image/jpeg", Depth::Cold);
    assert_eq!(decoded(&large).full_px, (1024, 512));
    assert!(large.fidelity > 0.3 && large.fidelity < 1024.0 / 2600.0, "{}", large.fidelity);
    assert!(large.note.unwrap().contains("2600×1300 became 1024×512"));
    let small = to(&jpeg(&waves(300, 200), None), "image/jpeg", Depth::Cold);
    assert_eq!(decoded(&small).full_px, (300, 200));
}

#[test]
fn a_trace_still_knows_the_size_before_all_reductions() {
    let large = to(&jpeg(&waves(2600, 1300), None), "image/jpeg", Depth::Cold);
    let Content::Bytes(small) = &large.content else { panic!("kept") };
    let Content::Trace(trace) = to(small, "image/jpeg", Depth::Trace).content else { panic!("no trace") };
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    assert_eq!((&trace["width"], &trace["height"]), (&2600.into(), &1300.into()));
    assert_eq!(trace["dhash"].as_str().unwrap().len(), 16);
}

#[test]
fn fidelity_falls_with_depth() {
    let file = jpeg(&waves(1500, 1000), None);
    let fidelity = |depth| to(&file, "image/jpeg", depth).fidelity;
    let (warm, cold, trace) = (fidelity(Depth::Warm), fidelity(Depth::Cold), fidelity(Depth::Trace));
    assert!(1.0 > warm && warm > cold && cold > trace && trace > 0.0, "{warm} {cold} {trace}");
}

#[test]
fn a_grey_picture_stays_grey() {
    let file = jpeg(&grey(&waves(400, 300)), None);
    assert!(decoded(&to(&file, "image/jpeg", Depth::Cold)).picture.is_grey());
}

#[test]
fn a_picture_for_print_is_kept() {
    let mut file = Vec::new();
    let pixels = vec![90; 64 * 64 * 4];
    jpeg_encoder::Encoder::new(&mut file, 95).encode(&pixels, 64, 64, jpeg_encoder::ColorType::Cmyk).unwrap();
    for depth in [Depth::Warm, Depth::Cold] {
        let kept = to(&file, "image/jpeg", depth);
        assert_eq!(kept.content, Content::Same);
        assert!(kept.note.unwrap().contains("CMYK"));
    }
}

#[test]
fn a_truncated_picture_is_kept() {
    let file = jpeg(&waves(640, 480), None);
    for len in [2, 20, 300, file.len() / 2, file.len() - 2] {
        for depth in [Depth::Warm, Depth::Cold] {
            let kept = to(&file[..len], "image/jpeg", depth);
            assert_eq!(kept.content, Content::Same, "{len} bytes");
            assert!(kept.note.unwrap().contains("cannot be decoded"), "{len} bytes");
        }
        assert!(matches!(to(&file[..len], "image/jpeg", Depth::Trace).content, Content::Trace(_)));
    }
}

#[test]
fn what_follows_a_picture_is_not_lost_at_warm() {
    let mut file = jpeg(&waves(640, 480), None);
    file.extend(std::iter::repeat_n(*b"film", 5_000).flatten());
    let warm = to(&file, "image/jpeg", Depth::Warm);
    assert_eq!(warm.content, Content::Same);
    assert!(warm.note.unwrap().contains("20000 bytes follow the picture"));
    let cold = to(&file, "image/jpeg", Depth::Cold);
    assert!(cold.note.unwrap().contains("20000 bytes after the picture dropped"));
}

#[test]
fn a_colour_profile_goes_along_if_it_is_of_the_pictures_colours() {
    let profile = |space: &[u8; 4]| {
        let mut profile = vec![7u8; 200];
        profile[16..20].copy_from_slice(space);
        profile
    };
    let file =
        |icc: &[u8]| jpeg::encode(&waves(400, 300), 95, &Carried { icc: Some(icc), exif: None }).unwrap();
    let fitting = to(&file(&profile(b"RGB ")), "image/jpeg", Depth::Cold);
    assert_eq!(decoded(&fitting).icc, Some(profile(b"RGB ")));
    assert!(fitting.note.unwrap().contains("colour profile carried over"));
    let foreign = to(&file(&profile(b"CMYK")), "image/jpeg", Depth::Cold);
    assert_eq!(decoded(&foreign).icc, None);
    assert!(foreign.note.unwrap().contains("another colour space"));
}

#[test]
fn a_header_that_claims_too_much_allocates_nothing() {
    let mut file = jpeg(&waves(64, 64), None);
    let frame = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    file[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let kept = to(&file, "image/jpeg", Depth::Warm);
    assert_eq!(kept.content, Content::Same);
    assert!(kept.note.unwrap().contains("a side is over 16384"));
    let limits = Limits { pixels: 64 * 64 - 1, ..Limits::default() };
    let file = jpeg(&waves(64, 64), None);
    let kept = crate::degrade(&file, "image/jpeg", Depth::Warm, &Params::default(), &limits);
    assert!(kept.note.unwrap().contains("64×64 pixels are more than 4095"));
}

#[test]
fn similarity_is_one_for_equals_and_falls_with_noise() {
    let picture = waves(200, 150);
    let luma = picture.luma();
    let noisy = |strength: f32| {
        let noise = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 65_536.0 - 0.5;
        luma.iter().enumerate().map(|(at, value)| value + strength * noise(at)).collect::<Vec<f32>>()
    };
    let reference = similarity::Reference::new(luma.clone(), 200);
    let ssim = |other: &[f32]| reference.ssim(other);
    assert!((ssim(&luma) - 1.0).abs() < 1e-4);
    let falling: Vec<f64> = [5.0, 20.0, 60.0, 150.0].iter().map(|strength| ssim(&noisy(*strength))).collect();
    assert!(falling.windows(2).all(|pair| pair[0] > pair[1]), "{falling:?}");
    assert!(falling[3] < 0.3, "{falling:?}");
}

/// The definition, pixel by pixel.
fn ssim_as_defined(one: &[f32], other: &[f32], width: usize) -> f64 {
    let height = one.len() / width;
    let weight = |distance: i64| (-(distance * distance) as f64 / (2.0 * 1.5 * 1.5)).exp();
    let total: f64 = (-5..=5).map(weight).sum();
    let around = |x: usize, y: usize, value: &dyn Fn(usize) -> f64| -> f64 {
        let at = |center: usize, by: i64, end: usize| (center as i64 + by).clamp(0, end as i64 - 1) as usize;
        let row = |dy: i64| -> f64 {
            (-5..=5).map(|dx| weight(dx) * value(at(y, dy, height) * width + at(x, dx, width))).sum::<f64>()
        };
        (-5..=5).map(|dy| weight(dy) * row(dy)).sum::<f64>() / (total * total)
    };
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let likeness = |x: usize, y: usize| {
        let (a, b) = (|at: usize| f64::from(one[at]), |at: usize| f64::from(other[at]));
        let (m1, m2) = (around(x, y, &a), around(x, y, &b));
        let (v1, v2) =
            (around(x, y, &|at| a(at) * a(at)) - m1 * m1, around(x, y, &|at| b(at) * b(at)) - m2 * m2);
        let covariance = around(x, y, &|at| a(at) * b(at)) - m1 * m2;
        (2.0 * m1 * m2 + c1) * (2.0 * covariance + c2) / ((m1 * m1 + m2 * m2 + c1) * (v1 + v2 + c2))
    };
    (0..one.len()).map(|at| likeness(at % width, at / width)).sum::<f64>() / one.len() as f64
}

#[test]
fn similarity_is_as_defined_also_at_borders_and_of_the_smallest_pictures() {
    let value = |seed: u32| move |at: u32| ((at + seed).wrapping_mul(2_654_435_761) >> 24) as f32;
    for (width, height) in [(1, 1), (1, 9), (7, 1), (3, 4), (11, 11), (12, 5), (40, 23)] {
        let one: Vec<f32> = (0..width * height).map(value(1)).collect();
        let other: Vec<f32> = one.iter().zip((0..).map(value(77))).map(|(a, b)| 0.7 * a + 0.3 * b).collect();
        let found = similarity::Reference::new(one.clone(), width as usize).ssim(&other);
        let defined = ssim_as_defined(&one, &other, width as usize);
        assert!((found - defined).abs() < 1e-4, "{width}×{height}: {found} for {defined}");
    }
}

#[test]
fn similarity_sees_the_wrong_picture_and_the_wrong_colours() {
    let picture = waves(200, 150);
    let turned = picture.clone().oriented(3);
    assert!(similarity::compare(&picture, &turned).unwrap().channel_error > CHANNEL_ERROR_MAX);
    let swapped: Vec<u8> =
        picture.pixels().chunks_exact(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0]]).collect();
    let swapped = Picture::new(200, 150, 3, swapped).unwrap();
    assert!(similarity::compare(&picture, &swapped).unwrap().channel_error > CHANNEL_ERROR_MAX);
    assert!(similarity::compare(&picture, &grey(&picture)).is_err());
}

#[test]
fn the_quality_search_finds_the_lowest_that_reaches_the_target() {
    let picture = waves(700, 500);
    let search = |target, allowed| {
        quality::search(&picture, Target::Jpeg, target, allowed, &Deadline::never()).unwrap()
    };
    assert_eq!(search(0.0001, 55..=80), 55);
    assert_eq!(search(1.0, 55..=80), 80);
    assert_eq!(search(0.9, 60..=60), 60);
    let (low, high) = (search(0.95, 1..=100), search(0.99, 1..=100));
    assert!(1 < low && low < high && high < 100, "{low} {high}");
}

#[test]
fn look_alikes_have_close_hashes() {
    let picture = waves(400, 300);
    let hash = |picture: &Picture| thumbnail::dhash(picture).unwrap();
    let smaller = picture.resized(120, 90, Filter::Sharp).unwrap();
    assert!((hash(&picture) ^ hash(&smaller)).count_ones() <= 4);
    assert!((hash(&picture) ^ hash(&picture.clone().oriented(3))).count_ones() > 20);
}

#[test]
fn fitting_keeps_the_shape_and_at_least_one_pixel() {
    assert_eq!(fit(2048, 1536, 1024), (1024, 768));
    assert_eq!(fit(1536, 2048, 1024), (768, 1024));
    assert_eq!(fit(100, 50, 1024), (100, 50));
    assert_eq!(fit(16_384, 1, 1024), (1024, 1));
}

#[test]
fn a_picture_of_one_pixel_has_a_trace() {
    let file = jpeg(&Picture::new(1, 1, 3, vec![10, 200, 30]).unwrap(), None);
    assert!(
        matches!(to(&file, "image/jpeg", Depth::Trace).content, Content::Trace(json) if json.contains("thumbhash"))
    );
}

#[cfg(feature = "images")]
mod with_images {
    use image::codecs::gif::GifEncoder;
    use image::{DynamicImage, Frame, ImageBuffer, ImageFormat, Rgb, Rgba, RgbaImage};

    use super::*;

    /// Colourful noise around a gradient: large as a PNG, so that a JPEG pays.
    fn rgba(alpha: impl Fn(u32, u32) -> u8) -> RgbaImage {
        RgbaImage::from_fn(160, 120, |x, y| {
            let noise = (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)) % 9;
            Rgba([(x + noise) as u8, (y + noise) as u8, 128 + noise as u8, alpha(x, y)])
        })
    }

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut out = std::io::Cursor::new(Vec::new());
        image.into().write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn transparency_is_kept_at_warm_and_becomes_white_at_cold() {
        let file = encoded(rgba(|x, _| if x < 80 { 0 } else { 255 }), ImageFormat::Png);
        let warm = to(&file, "image/png", Depth::Warm);
        assert_eq!(warm.content, Content::Same);
        assert!(warm.note.unwrap().contains("transparency"));
        let cold = to(&file, "image/png", Depth::Cold);
        assert!(decoded(&cold).picture.pixels()[..3].iter().all(|value| *value > 245));
        assert!(cold.note.unwrap().contains("flattened on white"));
    }

    fn with_params(file: &[u8], mime: &str, depth: Depth, params: &Params) -> Degraded {
        crate::degrade(file, mime, depth, params, &Limits::default())
    }

    /// The picture of a file that was written, WebP among them.
    fn read_back(degraded: &Degraded) -> Source {
        let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
        let format = raster::format_of(&degraded.media_type).unwrap();
        raster::load(bytes, format, &Limits::default(), &Deadline::never()).unwrap()
    }

    #[test]
    fn a_policy_may_flatten_transparency_at_once() {
        let params = Params { transparency: Transparency::Flatten, ..Params::default() };
        let file = encoded(rgba(|x, _| if x < 80 { 0 } else { 255 }), ImageFormat::Png);
        for depth in [Depth::Warm, Depth::Cold] {
            let flat = with_params(&file, "image/png", depth, &params);
            assert!(decoded(&flat).picture.pixels()[..3].iter().all(|value| *value > 245), "{depth:?}");
            assert!(flat.note.unwrap().contains("transparency flattened on white"), "{depth:?}");
        }
        let trace = with_params(&file, "image/png", Depth::Trace, &params);
        assert!(trace.note.unwrap().contains("transparency flattened on white"));
    }

    #[test]
    fn a_policy_may_keep_transparency_to_the_end() {
        let params = Params { transparency: Transparency::Keep, cold_side_px: 40, ..Params::default() };
        let half = |x: u32, y: u32| if x < 80 { (y * 2) as u8 } else { 255 };
        let grey = DynamicImage::from(rgba(half)).to_luma_alpha8();
        for file in [encoded(rgba(half), ImageFormat::Png), encoded(grey, ImageFormat::Png)] {
            let warm = with_params(&file, "image/png", Depth::Warm, &params);
            assert_eq!(warm.content, Content::Same);
            let cold = with_params(&file, "image/png", Depth::Cold, &params);
            assert!(!cold.note.as_deref().unwrap().contains("flattened"), "{:?}", cold.note);
            assert!(cold.params.starts_with("format=webp_lossless"), "{}", cold.params);
            let left = read_back(&cold);
            assert_eq!((left.full_px, left.picture.has_alpha()), ((40, 30), true));
            assert!(cold.fidelity > 0.1 && cold.fidelity <= 40.0 / 160.0, "{}", cold.fidelity);
            assert!(left.exif.is_some(), "the original's size is remembered");
            let trace = with_params(&file, "image/png", Depth::Trace, &params);
            assert_eq!(trace.note, None);
        }
    }

    #[test]
    fn lost_transparency_is_seen_before_one_ground_or_the_other() {
        let shaped = |ground: u8| {
            let pixels =
                (0..64 * 64).flat_map(|at| [200, 90, ground, if at % 64 < 32 { 0 } else { 255 }]).collect();
            Picture::new(64, 64, 4, pixels).unwrap()
        };
        let (one, other) = (shaped(0), shaped(0).flattened(255).into_owned());
        assert!(similarity::compare(&one, &one).unwrap().ssim > 0.999);
        // Before white it looks the same.
        assert!(similarity::compare(&one, &other).unwrap().ssim < 0.7);
    }

    fn profiled(picture: &Picture, profile: &moxcms::ColorProfile) -> Vec<u8> {
        let icc = profile.encode().unwrap();
        jpeg::encode(picture, 95, &Carried { icc: Some(&icc), exif: None }).unwrap()
    }

    #[test]
    fn a_profile_goes_along_at_warm_and_becomes_srgb_at_cold() {
        let mut pixels = waves(400, 300).pixels().to_vec();
        pixels.chunks_exact_mut(3).take(400 * 100).for_each(|pixel| pixel.copy_from_slice(&[200, 120, 60]));
        let picture = Picture::new(400, 300, 3, pixels).unwrap();
        let file = profiled(&picture, &moxcms::ColorProfile::new_display_p3());
        let warm = to(&file, "image/jpeg", Depth::Warm);
        assert!(decoded(&warm).icc.is_some());
        assert!(warm.note.unwrap().contains("colour profile carried over"));
        let cold = to(&file, "image/jpeg", Depth::Cold);
        let left = decoded(&cold);
        assert_eq!(left.icc, None);
        assert!(cold.note.as_deref().unwrap().contains("colours converted to sRGB"), "{:?}", cold.note);
        let without = to(&jpeg(&picture, None), "image/jpeg", Depth::Cold).fidelity;
        assert!((cold.fidelity - without).abs() < 0.02, "measured in sRGB: {}, {without}", cold.fidelity);
        // Display P3 to sRGB by their primaries: the linear colour times a matrix.
        let linear = |value: f64| ((value / 255.0 + 0.055) / 1.055).powf(2.4);
        let encoded = |value: f64| (1.055 * value.powf(1.0 / 2.4) - 0.055) * 255.0;
        let p3 = [200.0, 120.0, 60.0].map(linear);
        let rows = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]];
        for (channel, row) in rows.iter().enumerate() {
            let expected = encoded(row.iter().zip(p3).map(|(weight, value)| weight * value).sum());
            let seen = f64::from(left.picture.pixels()[channel]);
            assert!((seen - expected).abs() < 5.0, "channel {channel}: {seen}, not {expected}");
        }
    }

    #[test]
    fn a_profile_that_says_srgb_is_left_out_and_changes_nothing() {
        let picture = waves(300, 200);
        let file = profiled(&picture, &moxcms::ColorProfile::new_srgb());
        let cold = to(&file, "image/jpeg", Depth::Cold);
        assert_eq!((decoded(&cold).icc, cold.note.as_deref()), (None, None));
        assert_eq!(cold.content, to(&jpeg(&picture, None), "image/jpeg", Depth::Cold).content);
    }

    #[test]
    fn a_grey_profile_becomes_the_grey_of_srgb() {
        let mut profile = moxcms::ColorProfile::new_gray_with_gamma(1.0);
        profile.pcs = moxcms::DataColorSpace::Xyz;
        let plain = Picture::new(64, 64, 1, vec![55; 64 * 64]).unwrap();
        let left = decoded(&to(&profiled(&plain, &profile), "image/jpeg", Depth::Cold));
        assert!(left.picture.is_grey() && left.icc.is_none());
        // A fifth of the light is 128 in sRGB.
        assert!(left.picture.pixels()[0].abs_diff(128) < 4, "{}", left.picture.pixels()[0]);
    }

    #[cfg(feature = "webp")]
    mod with_webp {
        use super::*;

        fn as_webp() -> Params {
            Params { picture_format: PictureFormat::WebP, ..Params::default() }
        }

        #[test]
        fn a_picture_becomes_webp_and_keeps_what_goes_along() {
            let picture = waves(900, 600);
            let icc = moxcms::ColorProfile::new_display_p3().encode().unwrap();
            let exif = exif::carried(None, (1800, 1200), exif::Extent::Full);
            let file = jpeg::encode(&picture, 95, &Carried { icc: Some(&icc), exif }).unwrap();
            for depth in [Depth::Warm, Depth::Cold] {
                let written = with_params(&file, "image/jpeg", depth, &as_webp());
                assert_eq!((written.media_type.as_str(), written.codec), ("image/webp", "image"));
                assert!(written.params.starts_with("format=webp quality="), "{}", written.params);
                assert_eq!(written, with_params(&file, "image/jpeg", depth, &as_webp()), "not deterministic");
                let left = read_back(&written);
                assert_eq!((left.full_px, left.icc.is_some()), ((900, 600), depth == Depth::Warm));
                let history = exif::facts(left.exif.as_deref().unwrap());
                assert_eq!(history.original_px, Some((1800, 1200)));
                let Content::Bytes(bytes) = &written.content else { panic!("kept") };
                let as_jpeg = to(&file, "image/jpeg", depth);
                let Content::Bytes(jpeg) = &as_jpeg.content else { panic!("kept") };
                assert!(bytes.len() < jpeg.len(), "{depth:?}: {} and {}", bytes.len(), jpeg.len());
                assert!((written.fidelity - as_jpeg.fidelity).abs() < 0.05, "{depth:?}");
                let trace = with_params(bytes, "image/webp", Depth::Trace, &as_webp());
                assert!(matches!(trace.content, Content::Trace(json) if json.contains("\"width\":1800")));
            }
        }

        #[test]
        fn transparency_survives_in_webp() {
            let half = |x: u32, y: u32| if x < 80 { (y * 2) as u8 } else { 255 };
            let file = encoded(rgba(half), ImageFormat::Png);
            let warm = with_params(&file, "image/png", Depth::Warm, &as_webp());
            let left = read_back(&warm);
            let alphas: Vec<u8> = left.picture.pixels().chunks_exact(4).map(|pixel| pixel[3]).collect();
            let expected: Vec<u8> = (0..120 * 160u32).map(|at| half(at % 160, at / 160)).collect();
            assert_eq!(alphas, expected);
            let cold = with_params(&file, "image/png", Depth::Cold, &as_webp());
            assert!(cold.note.as_deref().unwrap().contains("flattened on white"), "as the policy says");
            let params = Params { transparency: Transparency::Keep, ..as_webp() };
            assert!(read_back(&with_params(&file, "image/png", Depth::Cold, &params)).picture.has_alpha());
        }

        #[test]
        fn grey_becomes_webp_too() {
            let file = jpeg(&grey(&waves(400, 300)), None);
            let cold = with_params(&file, "image/jpeg", Depth::Cold, &as_webp());
            assert_eq!(read_back(&cold).full_px, (400, 300));
            assert!(cold.fidelity > 0.8, "{}", cold.fidelity);
        }
    }

    #[cfg(not(feature = "webp"))]
    #[test]
    fn a_build_without_webp_says_so_and_writes_jpeg() {
        let params = Params { picture_format: PictureFormat::WebP, ..Params::default() };
        assert!(params.validate().unwrap_err().to_string().contains("the feature webp"));
        let cold = with_params(&jpeg(&waves(300, 200), None), "image/jpeg", Depth::Cold, &params);
        assert_eq!(cold.media_type, "image/jpeg");
    }

    #[test]
    fn a_channel_of_alpha_that_hides_nothing_is_no_transparency() {
        let file = encoded(rgba(|_, _| 255), ImageFormat::Png);
        let warm = to(&file, "image/png", Depth::Warm);
        assert!(matches!(warm.content, Content::Bytes(_)), "{:?}", warm.note);
    }

    #[test]
    fn every_format_becomes_a_jpeg() {
        let opaque = DynamicImage::from(rgba(|_, _| 255)).to_rgb8();
        let formats = [
            (ImageFormat::Png, "image/png"),
            (ImageFormat::Bmp, "image/bmp"),
            (ImageFormat::Tiff, "image/tiff"),
            (ImageFormat::WebP, "image/webp"),
        ];
        for (format, mime) in formats {
            let file = encoded(opaque.clone(), format);
            assert_eq!(crate::detect(&file, "picture").mime, mime);
            assert_eq!(decoded(&to(&file, mime, Depth::Warm)).full_px, (160, 120), "{mime}");
        }
    }

    fn gif(frames: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for _ in 0..frames {
            encoder.encode_frame(Frame::new(rgba(|_, _| 255))).unwrap();
        }
        drop(encoder);
        bytes
    }

    #[test]
    fn an_animation_is_kept_at_warm_and_its_first_frame_at_cold() {
        let warm = to(&gif(2), "image/gif", Depth::Warm);
        assert_eq!(warm.content, Content::Same);
        assert!(warm.note.unwrap().contains("animated"));
        let cold = to(&gif(2), "image/gif", Depth::Cold);
        assert!(cold.note.as_deref().unwrap().contains("first frame"), "{:?}", cold.note);
        assert_eq!(decoded(&cold).full_px, (160, 120));
        assert!(!to(&gif(1), "image/gif", Depth::Cold).note.unwrap_or_default().contains("frame"));
    }

    #[test]
    fn further_pages_are_not_lost_at_warm() {
        let mut file = encoded(DynamicImage::from(rgba(|_, _| 255)).to_rgb8(), ImageFormat::Tiff);
        // The link to a next directory stands after the entries of the first.
        let directory = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
        let entries = usize::from(u16::from_le_bytes(file[directory..directory + 2].try_into().unwrap()));
        let link = directory + 2 + 12 * entries;
        let second = file[directory..link + 4].to_vec();
        let at = file.len() as u32;
        file[link..link + 4].copy_from_slice(&at.to_le_bytes());
        file.extend(second);
        let warm = to(&file, "image/tiff", Depth::Warm);
        assert_eq!(warm.content, Content::Same);
        assert!(warm.note.unwrap().contains("several pages"));
        assert!(to(&file, "image/tiff", Depth::Cold).note.unwrap().contains("first page"));
    }

    #[test]
    fn sixteen_bits_become_eight_and_the_note_says_so() {
        let deep: ImageBuffer<Rgb<u16>, Vec<u16>> = ImageBuffer::from_fn(200, 150, |x, y| {
            Rgb([(x * 300) as u16, (y * 400) as u16, ((x ^ y) * 97) as u16])
        });
        let warm = to(&encoded(deep, ImageFormat::Png), "image/png", Depth::Warm);
        assert!(warm.note.unwrap().contains("16 bits a channel became 8"));
    }

    #[test]
    fn a_png_that_claims_ten_thousand_megapixels_is_kept() {
        let mut file = encoded(rgba(|_, _| 255), ImageFormat::Png);
        file[16..20].copy_from_slice(&100_000u32.to_be_bytes());
        file[20..24].copy_from_slice(&100_000u32.to_be_bytes());
        let checksum = crc32(&file[12..29]);
        file[29..33].copy_from_slice(&checksum.to_be_bytes());
        for depth in [Depth::Warm, Depth::Cold] {
            let kept = to(&file, "image/png", depth);
            assert_eq!(kept.content, Content::Same);
            let note = kept.note.unwrap();
            assert!(note.contains("limit") || note.contains("16384") || note.contains("exceed"), "{note}");
        }
    }

    /// CRC-32 as PNG defines it.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(
                crc ^ u32::from(*byte),
                |crc, _| {
                    if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
                },
            )
        })
    }
}
