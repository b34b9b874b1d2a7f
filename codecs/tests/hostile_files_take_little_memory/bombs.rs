//! Small files that claim, or unpack to, far more than they are.

/// A name, the media type, the bytes.
pub type Bomb = (&'static str, &'static str, Vec<u8>);

const SIDE_PX: u32 = 100_000;

/// Headers of ten thousand megapixels; of four thousand where the format has only 16 bits a side.
pub fn pictures() -> Vec<Bomb> {
    vec![
        ("png", "image/png", png()),
        ("jpeg", "image/jpeg", jpeg()),
        ("gif", "image/gif", gif()),
        ("bmp", "image/bmp", bmp()),
        ("tiff", "image/tiff", tiff()),
        ("webp", "image/webp", webp()),
    ]
}

fn png() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(SIDE_PX.to_be_bytes());
    header.extend(SIDE_PX.to_be_bytes());
    header.extend(b"\x08\x02\0\0\0");
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\r".to_vec();
    file.extend(&header);
    file.extend(crc32(&header).to_be_bytes());
    file.extend(b"\0\0\0\0IEND\xaeB`\x82");
    file
}

/// As PNG defines it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn jpeg() -> Vec<u8> {
    let mut file =
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01".to_vec();
    file.extend(b"\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0\0\xff\xd9");
    file
}

fn gif() -> Vec<u8> {
    b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x44\x01\0;".to_vec()
}

fn bmp() -> Vec<u8> {
    let mut file = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend([SIDE_PX.to_le_bytes(), SIDE_PX.to_le_bytes()].concat());
    file.extend(b"\x01\0\x18\0");
    file.extend([0; 24]);
    file
}

fn tiff() -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0\x09\0".to_vec();
    let mut entry = |tag: u16, kind: u16, value: u32| {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    };
    let (short, long) = (3, 4);
    entry(256, long, SIDE_PX);
    entry(257, long, SIDE_PX);
    entry(258, short, 8);
    entry(259, short, 1);
    entry(262, short, 1);
    entry(273, long, 8);
    entry(277, short, 1);
    entry(278, long, SIDE_PX);
    entry(279, long, u32::MAX);
    file.extend([0; 4]);
    file
}

fn webp() -> Vec<u8> {
    let side = &(SIDE_PX - 1).to_le_bytes()[..3];
    // One pixel of VP8L, whose header claims as much as its bits can.
    let pixels = b"\x2f\xff\xff\xff\x0f\0\0\0\0\0";
    let mut chunks = b"VP8X\x0a\0\0\0\0\0\0\0".to_vec();
    chunks.extend([side, side].concat());
    chunks.extend(b"VP8L");
    chunks.extend((pixels.len() as u32).to_le_bytes());
    chunks.extend(pixels);
    [b"RIFF".as_slice(), &(chunks.len() as u32 + 4).to_le_bytes(), b"WEBP", &chunks].concat()
}

/// Sizes in headers that nothing follows.
pub fn claims() -> Vec<Bomb> {
    let mut npy =
        b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".to_vec();
    npy.resize(127, b' ');
    npy.push(b'\n');
    let safetensors = [u64::MAX.to_le_bytes().as_slice(), b"{\"a\":"].concat();
    let wav = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data\xff\xff\xff\xff".to_vec();
    let flac = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0\x0a\xc4\x42\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    vec![
        ("npy", "application/x-npy", npy),
        ("safetensors", "application/x-safetensors", safetensors),
        ("wav", "audio/wav", wav),
        ("flac", "audio/flac", flac),
        ("deep arrays", "application/json", b"[".repeat(1 << 20)),
        ("deep objects", "application/json", b"{\"a\":".repeat(1 << 18)),
        ("many values", "application/json", [b"[".to_vec(), b"1,".repeat(1 << 20), b"1]".to_vec()].concat()),
        ("wide row", "text/csv", b",".repeat(2 << 20)),
        ("many rows", "text/csv", b"a,b\n".repeat(400_000)),
        ("deep html", "text/html", b"<div>".repeat(1 << 18)),
        ("open tags", "text/html", b"<".repeat(1 << 20)),
    ]
}

#[cfg(feature = "archives")]
mod packed {
    use std::io::{Cursor, Write};

    use super::Bomb;

    const UNPACKED_BYTES: usize = 64 << 20;

    fn zipped(part: &str, xml: &[&[u8]]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(part, zip::write::SimpleFileOptions::default()).unwrap();
        xml.iter().for_each(|piece| zip.write_all(piece).unwrap());
        zip.finish().unwrap().into_inner()
    }

    /// What unpacks to a thousand times its size, or is said to.
    pub fn bombs() -> Vec<Bomb> {
        let zeros = vec![b'0'; UNPACKED_BYTES];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&zeros).unwrap();
        let laughs: String = (1..30).map(|n| format!("<!ENTITY a{n} '&a{};&a{};'>", n - 1, n - 1)).collect();
        let laughs = format!(
            "<!DOCTYPE x [<!ENTITY a0 'ha'>{laughs}]><w:document><w:p><w:r><w:t>&a29;</w:t></w:r></w:p></w:document>"
        );
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
        let ods = "application/vnd.oasis.opendocument.spreadsheet";
        let repeated = b"<office:spreadsheet><table:table><table:table-row table:number-rows-repeated='1048576'>\
            <table:table-cell table:number-columns-repeated='16384' office:value='1'><text:p>1</text:p></table:table-cell>\
            </table:table-row></table:table></office:spreadsheet>";
        vec![
            ("gzip", "application/gzip", gzip.finish().unwrap()),
            ("zip", "application/zip", zipped("zeros", &[&zeros])),
            ("npz", "application/x-npz", zipped("a.npy", &[&zeros])),
            ("docx", docx, zipped("word/document.xml", &[b"<w:document><w:p><w:t>", &zeros])),
            ("docx of laughs", docx, zipped("word/document.xml", &[laughs.as_bytes()])),
            ("docx of tags", docx, zipped("word/document.xml", &[&b"<w:p>".repeat(4 << 20)])),
            ("xlsx", xlsx, zipped("xl/workbook.xml", &[&zeros])),
            ("ods", ods, zipped("content.xml", &[&zeros])),
            ("ods of repeats", ods, zipped("content.xml", &[repeated])),
        ]
    }
}

#[cfg(feature = "archives")]
pub use packed::bombs as packed;

#[cfg(not(feature = "archives"))]
pub fn packed() -> Vec<Bomb> {
    Vec::new()
}
