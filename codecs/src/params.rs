//! How strongly to degrade, and what an input may demand of the machine.

use crate::degrade::Depth;

/// What becomes of a picture that can be seen through. JPEG cannot hold that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transparency {
    /// Never lost: what JPEG cannot hold stays as it is at warm and becomes WebP at cold.
    Keep,
    /// Kept at warm; a white ground from cold on.
    #[default]
    FlattenCold,
    /// A white ground from warm on.
    Flatten,
}

impl Transparency {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Keep, Self::FlattenCold, Self::Flatten];

    /// The name in policies: `"keep"`, `"flatten_cold"`, `"flatten"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::FlattenCold => "flatten_cold",
            Self::Flatten => "flatten",
        }
    }

    /// The value with this name, the reverse of [`Transparency::as_str`].
    ///
    /// ```
    /// # use patina_codecs::Transparency;
    /// assert_eq!(Transparency::from_name("flatten"), Some(Transparency::Flatten));
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == name)
    }

    pub(crate) fn is_kept_at(self, depth: Depth) -> bool {
        match self {
            Self::Keep => true,
            Self::FlattenCold => depth == Depth::Warm,
            Self::Flatten => false,
        }
    }
}

/// What reduced pictures are written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PictureFormat {
    /// What everything can show.
    #[default]
    Jpeg,
    /// Fewer bytes, and transparency; only in builds with the feature `webp`.
    WebP,
}

impl PictureFormat {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Jpeg, Self::WebP];

    /// The name in policies: `"jpeg"`, `"webp"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::WebP => "webp",
        }
    }

    /// The value with this name, the reverse of [`PictureFormat::as_str`].
    ///
    /// ```
    /// # use patina_codecs::PictureFormat;
    /// assert_eq!(PictureFormat::from_name("webp"), Some(PictureFormat::WebP));
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == name)
    }

    /// Whether this build can write it.
    pub fn is_in_build(self) -> bool {
        self == Self::Jpeg || cfg!(feature = "webp")
    }
}

/// How strong each depth is. A policy may override any of these for its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Warm pictures: the structural similarity (0–1) that the JPEG quality is searched for.
    pub warm_quality: f64,
    /// Warm pictures: the lowest quality (1–100) of the JPEG, or WebP, that the search may choose.
    pub warm_jpeg_quality_min: u8,
    /// Warm pictures: the highest quality (1–100) of the JPEG, or WebP, that the search may choose.
    pub warm_jpeg_quality_max: u8,
    /// Cold pictures: the longest side in pixels; smaller pictures are not enlarged.
    pub cold_side_px: u32,
    /// Cold pictures: the quality (1–100) of the JPEG or WebP.
    pub cold_quality: u8,
    /// Pictures: what becomes of transparency.
    pub transparency: Transparency,
    /// Pictures: what they are written as.
    pub picture_format: PictureFormat,
    /// Warm texts: the share (0–1) of the sentences, by bytes, that stays.
    pub warm_share: f64,
    /// Cold texts: the share (0–1) of the sentences, by bytes, that stays.
    pub cold_share: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            warm_quality: 0.95,
            warm_jpeg_quality_min: 55,
            warm_jpeg_quality_max: 80,
            cold_side_px: 1024,
            cold_quality: 35,
            transparency: Transparency::default(),
            picture_format: PictureFormat::default(),
            warm_share: 0.30,
            cold_share: 0.05,
        }
    }
}

/// Parameters that make no sense; the message lists every problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("codec parameters cannot be used: {}", .problems.join("; "))]
pub struct InvalidParams {
    /// One sentence for each problem.
    pub problems: Vec<String>,
}

impl Params {
    /// Checks every value. [`crate::degrade()`] brings bad values into range by itself; call this where a
    /// person sets them, so that they learn of it.
    ///
    /// # Errors
    /// [`InvalidParams`] with every problem found.
    pub fn validate(&self) -> Result<(), InvalidParams> {
        let mut problems = Vec::new();
        let shares = [
            ("warm_quality", self.warm_quality),
            ("warm_share", self.warm_share),
            ("cold_share", self.cold_share),
        ];
        for (name, value) in shares {
            if !(value > 0.0 && value <= 1.0) {
                problems.push(format!("{name} is {value}, it must be above 0 and at most 1"));
            }
        }
        let qualities = [
            ("warm_jpeg_quality_min", self.warm_jpeg_quality_min),
            ("warm_jpeg_quality_max", self.warm_jpeg_quality_max),
            ("cold_quality", self.cold_quality),
        ];
        for (name, value) in qualities {
            if !(1..=100).contains(&value) {
                problems.push(format!("{name} is {value}, it must be from 1 to 100"));
            }
        }
        if self.warm_jpeg_quality_min > self.warm_jpeg_quality_max {
            problems.push("warm_jpeg_quality_min is above warm_jpeg_quality_max".to_owned());
        }
        if self.cold_side_px < 16 {
            problems.push(format!("cold_side_px is {}, it must be at least 16", self.cold_side_px));
        }
        if self.cold_share > self.warm_share {
            problems.push("cold_share is above warm_share: a later stage must keep less".to_owned());
        }
        if !self.picture_format.is_in_build() {
            problems.push(
                "picture_format is webp, which this build lacks: build with the feature webp".to_owned(),
            );
        }
        if problems.is_empty() { Ok(()) } else { Err(InvalidParams { problems }) }
    }

    /// The same parameters with each value in its range.
    pub(crate) fn in_range(&self) -> Self {
        let share = |value: f64, default: f64| if value > 0.0 && value <= 1.0 { value } else { default };
        let defaults = Self::default();
        let warm_share = share(self.warm_share, defaults.warm_share);
        let warm_jpeg_quality_min = self.warm_jpeg_quality_min.clamp(1, 100);
        Self {
            warm_quality: share(self.warm_quality, defaults.warm_quality),
            warm_jpeg_quality_min,
            warm_jpeg_quality_max: self.warm_jpeg_quality_max.clamp(warm_jpeg_quality_min, 100),
            cold_side_px: self.cold_side_px.max(16),
            cold_quality: self.cold_quality.clamp(1, 100),
            transparency: self.transparency,
            picture_format: if self.picture_format.is_in_build() {
                self.picture_format
            } else {
                defaults.picture_format
            },
            warm_share,
            cold_share: share(self.cold_share, defaults.cold_share).min(warm_share),
        }
    }
}

/// What an input may demand. Checked against the headers before anything is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an input that a codec will parse; a larger one stays as it is until the trace.
    pub input_bytes: u64,
    /// Rows of a table, records of a log; a text may have four times as many lines and sentences.
    pub rows: u64,
    /// Columns of a table.
    pub columns: u64,
    /// Values of a JSON document, objects and arrays among them.
    pub values: u64,
    /// Objects and arrays of JSON inside each other; 127 at most.
    pub nesting: u32,
    /// Bytes of a text, a table, a log or JSON that will be summarised; a larger one stays as it is until the trace.
    pub text_bytes: u64,
    /// Pixels of a picture (width × height).
    pub pixels: u64,
    /// Pixels of a picture's side.
    pub side_px: u32,
    /// Tensors of a file, entries of an archive.
    pub entries: u64,
    /// What may come out of a compressed file, in multiples of its size.
    pub expansion: u64,
    /// Bytes that come out of a compressed file and are held at once.
    pub unpacked_bytes: u64,
    /// Pages of a document, slides of a presentation, chapters of a book.
    pub pages: u64,
    /// Seconds of sound.
    pub audio_s: u64,
    /// Milliseconds that a transform may take, if the [`Registry`](crate::Registry) has a clock.
    pub time_ms: u64,
    /// Bytes of an output; a codec that gives more is not used.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input_bytes: 256 << 20,
            text_bytes: 32 << 20,
            rows: 1_000_000,
            columns: 4096,
            values: 2_000_000,
            nesting: 127,
            pixels: 100_000_000,
            side_px: 16_384,
            entries: 10_000,
            expansion: 100,
            unpacked_bytes: 256 << 20,
            pages: 5_000,
            audio_s: 4 * 3_600,
            time_ms: 60_000,
            output_bytes: 128 << 20,
        }
    }
}

impl Limits {
    /// Whether a picture of this size may be decoded; the error says which limit it breaks.
    pub(crate) fn check_picture(&self, width_px: u32, height_px: u32) -> Result<(), String> {
        let pixels = u64::from(width_px) * u64::from(height_px);
        if pixels == 0 {
            return Err("the picture has no pixels".to_owned());
        }
        if width_px.max(height_px) > self.side_px {
            return Err(format!("{width_px}×{height_px} pixels: a side is over {} pixels", self.side_px));
        }
        if pixels > self.pixels {
            return Err(format!("{width_px}×{height_px} pixels are more than {}", self.pixels));
        }
        Ok(())
    }
}
