use super::*;
use crate::archive::tests::{noise, zip_of};
use crate::degrade::{Content, Degraded, degrade};
use crate::params::{Limits, Params};

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
const ODT: &str = "application/vnd.oasis.opendocument.text";

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

/// The parts of a zip that has enough other bytes to be worth the step.
fn file_of(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut entries: Vec<(&str, Vec<u8>)> =
        parts.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect();
    entries.push(("word/fonts/font1.odttf", noise(9000)));
    zip_of(&entries)
}

/// Some words beside a picture.
fn illustrated(words: usize) -> Vec<u8> {
    let text: Vec<String> = (0..words).map(|n| format!("word{n}")).collect();
    let xml = format!(
        "<w:document><w:body><w:p><w:r><w:t>{}.</w:t></w:r></w:p></w:body></w:document>",
        text.join(" ")
    );
    zip_of(&[("word/document.xml", xml.into_bytes()), ("word/media/image1.png", noise(9000))])
}

#[test]
fn pictures_count_among_what_is_lost() {
    let warm = to(&illustrated(300), DOCX, Depth::Warm);
    assert!((warm.fidelity - 0.675).abs() < 1e-9, "{}", warm.fidelity);
    assert!(warm.note.unwrap().contains("1 picture are lost"));
}

#[test]
fn a_deck_of_pictures_does_not_pass_for_its_captions() {
    let warm = to(&illustrated(20), DOCX, Depth::Warm);
    assert_eq!((&warm.content, warm.fidelity), (&Content::Same, 1.0));
    assert!(warm.note.unwrap().contains("more in pictures than in words"));
    let cold = to(&illustrated(20), DOCX, Depth::Cold);
    assert!(text_of(&cold).contains("word0") && cold.fidelity <= 0.9 * 20.0 / 120.0, "{}", cold.fidelity);
}

fn text_of(degraded: &Degraded) -> String {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    String::from_utf8(bytes.clone()).unwrap()
}

fn trace_of(bytes: &[u8], mime: &str) -> serde_json::Value {
    let trace = to(bytes, mime, Depth::Trace);
    let Content::Trace(json) = &trace.content else { panic!("no trace: {:?}", trace.note) };
    assert_eq!(trace.note, None);
    serde_json::from_str(json).unwrap()
}

#[test]
fn word_keeps_headings_lists_tables_pages_and_what_is_seen() {
    let xml = "<w:document xmlns:w='w'><w:body>\
        <w:p><w:pPr><w:pStyle w:val='Heading2'/></w:pPr><w:r><w:t>On </w:t></w:r><w:r><w:t>copper</w:t></w:r></w:p>\
        <w:p><w:r><w:t>Salt &amp; air</w:t><w:tab/><w:t>turn it green&#33;</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>\
        <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>an item</w:t></w:r></w:p>\
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>\
        <w:p><w:r><w:br w:type='page'/></w:r></w:p><w:p><w:r><w:t>Overleaf.</w:t></w:r></w:p>\
        </w:body></w:document>";
    let core =
        "<cp:coreProperties><dc:title>Metals</dc:title><dc:creator>A. Smith</dc:creator></cp:coreProperties>";
    let file = file_of(&[("word/document.xml", xml), ("docProps/core.xml", core)]);
    let warm = to(&file, DOCX, Depth::Warm);
    let expected = "---\ntitle: Metals\nauthor: A. Smith\n---\n\n\
        ## On copper\n\nSalt & air turn it green!\n\n- an item\n| a | b |\n\n\n[page 2]\n\nOverleaf.\n";
    assert_eq!(text_of(&warm), expected);
    assert_eq!((warm.media_type.as_str(), warm.fidelity), ("text/markdown", 0.9));
    assert!(warm.note.unwrap().contains("layout is lost"));
    for (bytes, mime) in [(file, DOCX), (expected.as_bytes().to_vec(), "text/markdown")] {
        let trace = trace_of(&bytes, mime);
        assert_eq!((&trace["title"], &trace["author"]), (&"Metals".into(), &"A. Smith".into()));
    }
}

#[test]
fn slides_come_in_the_order_of_the_presentation_with_titles_and_notes() {
    let slide = |title: &str| {
        format!(
            "<p:sld><p:sp><p:nvPr><p:ph type='title'/></p:nvPr><a:p><a:r><a:t>{title}</a:t></a:r></a:p></p:sp>\
             <p:sp><p:nvPr><p:ph idx='1'/></p:nvPr><a:p><a:r><a:t>body of {title}</a:t></a:r></a:p></p:sp></p:sld>"
        )
    };
    let (one, two) = (slide("One"), slide("Two"));
    let notes = "<p:notes><p:sp><a:p><a:r><a:t>Say it slowly</a:t></a:r></a:p></p:sp></p:notes>";
    let slides = [("ppt/slides/slide10.xml", one.as_str()), ("ppt/slides/slide2.xml", two.as_str())];
    let by_number = text_of(&to(&file_of(&slides), PPTX, Depth::Warm));
    assert!(by_number.contains("[slide 1]\n\n## Two\n\nbody of Two\n\n[slide 2]\n\n## One"), "{by_number}");
    let rels = "<Relationships><Relationship Id='r1' Target='slides/slide10.xml'/><Relationship Id='r2' Target='slides/slide2.xml'/></Relationships>";
    let order = "<p:presentation><p:sldIdLst><p:sldId id='256' r:id='r1'/><p:sldId id='257' r:id='r2'/></p:sldIdLst></p:presentation>";
    let mut parts = slides.to_vec();
    parts.extend([
        ("ppt/presentation.xml", order),
        ("ppt/_rels/presentation.xml.rels", rels),
        (
            "ppt/slides/_rels/slide2.xml.rels",
            "<Relationships><Relationship Id='x' Target='../notesSlides/notesSlide1.xml'/></Relationships>",
        ),
        ("ppt/notesSlides/notesSlide1.xml", notes),
    ]);
    let text = text_of(&to(&file_of(&parts), PPTX, Depth::Warm));
    let expected = "---\nslides: 2\n---\n\n[slide 1]\n\n## One\n\nbody of One\n\n[slide 2]\n\n## Two\n\nbody of Two\n\nNotes: Say it slowly\n";
    assert_eq!(text, expected);
    let few = Limits { pages: 1, ..Limits::default() };
    let kept = degrade(&file_of(&parts), PPTX, Depth::Cold, &Params::default(), &few);
    assert!(kept.note.unwrap().contains("2 slides are more than 1"));
}

#[test]
fn open_documents_are_read() {
    let xml = "<office:text><text:h text:outline-level='2'>Head</text:h><text:p>One<text:s/>two<text:span> three</text:span></text:p>\
        <text:list><text:list-item><text:p>item</text:p></text:list-item></text:list></office:text>";
    let text = text_of(&to(&file_of(&[("content.xml", xml)]), ODT, Depth::Warm));
    assert_eq!(text, "## Head\n\nOne two three\n\n- item\n");
}

#[test]
fn a_book_comes_in_the_order_of_its_spine() {
    let parts = [
        (
            "META-INF/container.xml",
            "<container><rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>",
        ),
        (
            "OEBPS/book.opf",
            "<package><metadata><dc:title>Tides</dc:title><dc:creator>M. Lunn</dc:creator></metadata>\
             <manifest><item id='a' href='a.xhtml' media-type='application/xhtml+xml'/><item id='b' href='b.xhtml'/></manifest>\
             <spine><itemref idref='b'/><itemref idref='a'/></spine></package>",
        ),
        ("OEBPS/a.xhtml", "<html><body><h1>Ebb</h1><p>The water goes.</p></body></html>"),
        ("OEBPS/b.xhtml", "<html><body><h1>Flood</h1><p>The water comes.</p></body></html>"),
    ];
    let text = text_of(&to(&file_of(&parts), epub::MIME, Depth::Warm));
    let expected = "---\ntitle: Tides\nauthor: M. Lunn\nchapters: 2\n---\n\n# Flood\n\nThe water comes.\n\n# Ebb\n\nThe water goes.\n";
    assert_eq!(text, expected);
}

#[test]
fn cold_is_that_of_the_text() {
    let paragraphs: String = (0..60)
        .map(|n| format!("<w:p><w:r><w:t>The harbour number {n} has a lighthouse. Ships of the harbour {n} carry salt.</w:t></w:r></w:p>"))
        .collect();
    let original =
        file_of(&[("word/document.xml", &format!("<w:document><w:body>{paragraphs}</w:body></w:document>"))]);
    let warm = to(&original, DOCX, Depth::Warm);
    let direct = to(&original, DOCX, Depth::Cold);
    let by_warm = to(text_of(&warm).as_bytes(), &warm.media_type, Depth::Cold);
    assert_eq!(direct.content, by_warm.content);
    assert!((direct.fidelity - warm.fidelity * by_warm.fidelity).abs() < 1e-9);
    assert!(trace_of(&original, DOCX).to_string().contains("harbour"));
}

#[test]
fn bombs_and_ruins_are_kept_and_say_why() {
    let laughs = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><w:document><w:p><w:r><w:t>&b;&b;</w:t></w:r></w:p></w:document>";
    let deep = format!("<w:document>{}", "<w:p>".repeat(5000));
    let zeros = format!("<w:document><w:p><w:t>{}</w:t></w:p></w:document>", "0".repeat(20 << 20));
    for (xml, reason) in [
        (laughs, "has no text"),
        (deep.as_str(), "nested deeper"),
        (&zeros, "unpacks to more"),
        ("<w:p", "XML cannot be read"),
    ] {
        let kept = to(&file_of(&[("word/document.xml", xml)]), DOCX, Depth::Cold);
        assert_eq!(kept.content, Content::Same, "{reason}");
        assert!(kept.note.as_ref().unwrap().contains(reason), "{:?}", kept.note);
    }
    assert!(to(&file_of(&[]), DOCX, Depth::Cold).note.unwrap().contains("has no word/document.xml"));
}

/// What no parser of XML takes still has its words, in their order; the note says that only those were read.
#[test]
fn a_document_whose_structure_is_refused_is_read_as_plain_text() {
    let words = "<w:p><w:pPr><w:pStyle w:val='Heading1'/></w:pPr><w:r><w:t>On copper</w:t></w:r></w:p>\
        <w:p><w:r><w:t>Salt &amp; air</w:t><w:tab/><w:t>turn it green.</w:t></w:r>\
        <w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>";
    let deep = format!("<w:document>{}{words}", "<w:sdt>".repeat(2000));
    let crossed = format!("<w:document><w:body>{words}</w:sdt></w:body></w:document>");
    for (xml, reason) in [(deep, "its XML is nested deeper than 1000"), (crossed, "its XML cannot be read: ")]
    {
        let file = file_of(&[("word/document.xml", &xml)]);
        let warm = to(&file, DOCX, Depth::Warm);
        assert_eq!(text_of(&warm), "On copper\n\nSalt & air turn it green.\n");
        let note = warm.note.unwrap();
        assert!(note.contains(reason) && note.contains("read as plain text, without headings"), "{note}");
        assert_eq!(warm.fidelity, 0.9);
        let trace = to(&file, DOCX, Depth::Trace);
        assert_eq!(trace.codec, "document");
        assert!(trace.note.unwrap().contains(reason));
    }
}

/// A PDF of one page, whose objects are these; written with the table that the format asks for.
fn pdf_of(content: &[u8], dictionary: &str, resources: &str) -> Vec<u8> {
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    let objects: [Vec<u8>; 4] = [
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << {resources} >> >>").into_bytes(),
        [format!("<< /Length {} {dictionary} >>\nstream\n", content.len()).as_bytes(), content, b"\nendstream"].concat(),
    ];
    for (at, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend(format!("{} 0 obj\n", at + 1).as_bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let table = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", places.len() + 1).as_bytes());
    places.iter().for_each(|place| out.extend(format!("{place:010} 00000 n \n").as_bytes()));
    out.extend(
        format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n", places.len() + 1)
            .as_bytes(),
    );
    out
}

const FONT: &str = "/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>";

#[test]
fn the_text_of_a_page_comes_in_lines_and_paragraphs() {
    let content = b"BT /F 24 Tf 50 700 Td (On copper) Tj ET \
        BT /F 10 Tf 50 650 Td (Salt and air turn cop-) Tj 0 -12 Td [(per) -500 (green.)] TJ \
        0 -40 Td (A second para) Tj 80 0 Td (graph.) Tj 3 Tr 0 -40 Td (Unseen but there.) Tj ET";
    let padding = format!("/Pad ({})", "x".repeat(2000));
    let file = pdf_of(content, &padding, FONT);
    let warm = to(&file, pdf::MIME, Depth::Warm);
    let text = text_of(&warm);
    let expected = "---\npages: 1\n---\n\n[page 1]\n\n# On copper\n\nSalt and air turn copper green.\n\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("Unseen but there."), "{text}");
}

#[test]
fn a_scan_says_so_and_leaves_a_picture_of_its_first_page() {
    let kept = to(&pdf_of(b"0 0 m 100 100 l S", "", ""), pdf::MIME, Depth::Cold);
    assert_eq!(kept.content, Content::Same);
    assert!(kept.note.unwrap().contains("has no text"));
}

#[test]
fn pdfs_that_unpack_to_too_much_or_hide_how_are_kept() {
    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = packed(&vec![b' '; 64 << 20]);
    for (content, dictionary, reason) in [
        (bomb.as_slice(), "/Filter /FlateDecode", "unpacks to more than"),
        (&bomb, "/Filter /F#6cateDecode", "unpacks to more than"),
        (&packed(&bomb), "/Filter [/FlateDecode /FlateDecode]", "packed twice"),
        (&bomb, "/Filter 9 0 R", "do not say how"),
    ] {
        let kept = to(&pdf_of(content, dictionary, FONT), pdf::MIME, Depth::Cold);
        assert_eq!(kept.content, Content::Same, "{reason}");
        assert!(kept.note.as_ref().unwrap().contains(reason), "{:?}", kept.note);
    }
}

/// The interpreter cannot be told to stop; a clock that runs out in the middle of a page must end it all the same.
#[test]
fn a_page_without_end_ends_with_its_time() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let content = b"BT /F 10 Tf 50 700 Td (a word ) Tj ".to_vec();
    let content = [content, b"(and another word ) Tj ".repeat(20_000), b" ET".to_vec()].concat();
    let file = pdf_of(&content, "", FONT);
    let asked = std::sync::Arc::new(AtomicU64::new(0));
    let hand = asked.clone();
    let clock: crate::Clock =
        std::sync::Arc::new(move || std::time::Duration::from_millis(hand.fetch_add(1, Ordering::Relaxed)));
    let limits = Limits { time_ms: 30, ..Limits::default() };
    let registry = crate::Registry::new().with_clock(clock);
    let kept = registry.degrade(&file, pdf::MIME, Depth::Cold, &Params::default(), &limits);
    assert_eq!(kept.content, Content::Same);
    assert!(kept.note.as_ref().unwrap().contains("takes longer than 30 ms"), "{:?}", kept.note);
    let asked_then = asked.load(Ordering::Relaxed);
    assert!((30..60).contains(&asked_then), "{asked_then}");
    let calm = Limits { time_ms: 10_000_000, ..Limits::default() };
    let read = registry.degrade(&file, pdf::MIME, Depth::Cold, &Params::default(), &calm);
    assert!(matches!(read.content, Content::Bytes(_)), "{:?}", read.note);
}

#[test]
fn rtf_keeps_headings_lists_tables_pages_and_what_is_seen() {
    let rtf = r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fcharset204 Times;}}
{\stylesheet{\s1\outlinelevel0 heading 1;}{\s2\outlinelevel1 \'dcberschrift 2;}{\*\cs10 Default;}}
{\info{\title Metals}{\author A. Sm\'eeth}{\creatim\yr2009\mo7\dy4}}
{\header Head of every page\par}
\pard\s1 On \b copper\b0\par
\pard Salt {\v unseen}and {\deleted gone}air\line turn it gr\'fcn\emdash always\u8230 ?.\par
{\listtext 1.\tab}an item\par
\pard\s2\f1\'cc\'e5\'e4\'fc\par
\pard\plain{\field{\*\fldinst HYPERLINK x}{\fldrslt a link}}{\*\unknown of another}
{\pict\pngblip 89504e47}{\*\shppict{\pict 00}}{\nonshppict{\pict 00}}{\footnote Said in passing.} and \u-10179?\u-8704?\par
\trowd\intbl a\cell b\par more\cell\row\pard
\page Overleaf: \{1\}.\par}".to_owned();
    let padded = format!("{}{{\\*\\themedata {}}}}}", rtf.strip_suffix('}').unwrap(), "00".repeat(2000));
    let pictures = r"{\pict\pngblip 89504e47}{\*\shppict{\pict 00}}";
    let few_words = to(padded.as_bytes(), "application/rtf", Depth::Warm);
    assert!(few_words.note.unwrap().contains("2 pictures are lost"), "the copy does not count");
    let unillustrated = padded.replace(pictures, "");
    let warm = to(unillustrated.as_bytes(), "application/rtf", Depth::Warm);
    let expected = "---\ntitle: Metals\nauthor: A. Smîth\ndate: 2009-07-04\n---\n\n\
        # On copper\n\nSalt and air\nturn it grün—always….\n\n- an item\n\n## Медь\n\n\
        a link and 😀\n\n| a | b more |\n\n[page 2]\n\nOverleaf: {1}.\n\n\n\nSaid in passing.\n";
    assert_eq!(text_of(&warm), expected);
    assert_eq!(trace_of(padded.as_bytes(), "text/rtf")["title"], "Metals");
    let cut = to(&padded.as_bytes()[..padded.len() / 2], "application/rtf", Depth::Cold);
    assert_eq!(cut.content, Content::Same);
    assert!(cut.note.unwrap().contains("ends inside a group"));
    let deep = format!("{{\\rtf1{}", "{".repeat(5000));
    assert!(to(deep.as_bytes(), "application/rtf", Depth::Cold).note.unwrap().contains("nested deeper"));
}

/// A compound file of these streams.
fn compound_of(streams: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut file = cfb::CompoundFile::create(std::io::Cursor::new(Vec::new())).unwrap();
    for (name, bytes) in streams {
        std::io::Write::write_all(&mut file.create_stream(name).unwrap(), bytes).unwrap();
    }
    file.flush().unwrap();
    file.into_inner().into_inner()
}

/// A property set with a title and an author of Windows-1251, and a date.
fn summary_stream() -> (&'static str, Vec<u8>) {
    let narrow =
        |bytes: &[u8]| [&30u32.to_le_bytes(), &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    let values = [
        (1u32, [2u32.to_le_bytes(), 1251u32.to_le_bytes()].concat()),
        (2, narrow(b"\xcc\xe5\xe4\xfc\0")),
        (4, narrow(b"A. Smith\0")),
        (12, [64u32.to_le_bytes().as_slice(), &128_910_528_000_000_000u64.to_le_bytes()].concat()),
    ];
    let (mut table, mut body) = (Vec::new(), Vec::new());
    for (id, value) in &values {
        table.extend(id.to_le_bytes());
        table.extend((8 + 8 * values.len() as u32 + body.len() as u32).to_le_bytes());
        body.extend(value);
    }
    let mut stream = vec![0; 44];
    stream.extend(48u32.to_le_bytes());
    stream.extend((8 + table.len() as u32 + body.len() as u32).to_le_bytes());
    stream.extend((values.len() as u32).to_le_bytes());
    stream.extend([table, body].concat());
    ("/\u{5}SummaryInformation", stream)
}

/// A Word file whose body is one narrow and one wide piece, with a footnote.
fn doc_of(narrow: &str, wide: &str, footnote: &str) -> Vec<u8> {
    let mut main = vec![0; 0x400];
    main[..2].copy_from_slice(&0xa5ecu16.to_le_bytes());
    main[0x0b] = 0x02;
    let (narrow, rest) = (narrow.as_bytes(), format!("{wide}{footnote}"));
    let wide: Vec<u16> = wide.encode_utf16().collect();
    let rest: Vec<u8> = rest.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let counts = [narrow.len() + wide.len(), footnote.len()];
    for (part, count) in counts.iter().enumerate() {
        main[0x4c + 4 * part..][..4].copy_from_slice(&(*count as u32).to_le_bytes());
    }
    let narrow_at = main.len();
    main.extend(narrow);
    let wide_at = main.len();
    main.extend(&rest);
    main.extend(noise(6000));
    let begins = [0, narrow.len() as u32, (narrow.len() + rest.len() / 2) as u32];
    let mut pieces: Vec<u8> = begins.iter().flat_map(|begin| begin.to_le_bytes()).collect();
    for place in [(narrow_at as u32 * 2) | (1 << 30), wide_at as u32] {
        pieces.extend([[0; 2].as_slice(), &place.to_le_bytes(), &[0; 2]].concat());
    }
    let mut clx = vec![1, 3, 0, 9, 9, 9, 2];
    clx.extend((pieces.len() as u32).to_le_bytes());
    clx.extend(pieces);
    main[0x1a2..0x1a6].copy_from_slice(&16u32.to_le_bytes());
    main[0x1a6..0x1aa].copy_from_slice(&(clx.len() as u32).to_le_bytes());
    let table = [vec![0; 16], clx].concat();
    compound_of(&[("/WordDocument", main), ("/1Table", table), summary_stream()])
}

#[test]
fn old_word_files_give_the_text_of_their_pieces() {
    let narrow = "Salt and air\x0bturn it green.\rSee \x13 HYPERLINK x \x14the link\x15.\r\x01";
    let file = doc_of(narrow, "Grün…\ra\x07b\x07\x07\x0cOverleaf.\r", "A footnote.\r");
    let warm = to(&file, doc::MIME, Depth::Warm);
    let expected = "---\ntitle: Медь\nauthor: A. Smith\ndate: 2009-07-03\n---\n\n\
        Salt and air\nturn it green.\n\nSee the link.\n\nGrün…\n\n| a | b |\n[page 2]\n\nOverleaf.\n\nA footnote.\n";
    // One picture says more than these few words.
    assert_eq!(warm.content, Content::Same);
    let file = doc_of(&narrow.replace('\x01', ""), "Grün…\ra\x07b\x07\x07\x0cOverleaf.\r", "A footnote.\r");
    assert_eq!(text_of(&to(&file, doc::MIME, Depth::Warm)), expected);
    assert_eq!(trace_of(&file, doc::MIME)["title"], "Медь");
    let locked = |at: usize, value: u8| {
        let mut main = vec![0; 0x400];
        main[..2].copy_from_slice(&0xa5ecu16.to_le_bytes());
        main[at] = value;
        let file = compound_of(&[("/WordDocument", main), ("/0Table", vec![0; 100])]);
        to(&file, doc::MIME, Depth::Cold).note.unwrap()
    };
    assert!(locked(0x0b, 0x01).contains("encrypted"));
    assert!(locked(0, 0xdc).contains("before 1997"));
    assert!(locked(0x1a2, 0xff).contains("pieces cannot be read"));
}

fn record(head: u16, kind: u16, body: &[u8]) -> Vec<u8> {
    [&head.to_le_bytes(), &kind.to_le_bytes(), &(body.len() as u32).to_le_bytes()[..], body].concat()
}

#[test]
fn old_slides_come_in_their_order_and_as_last_saved() {
    let wide = |text: &str| {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        record(0, 0x0fa0, &units)
    };
    let kind = |kind: u32| record(0, 0x0f9f, &kind.to_le_bytes());
    let slide = |text: &str| {
        record(0x0f, 0x03ee, &record(0x0f, 0xf00d, &[kind(4), record(0, 0x0fa8, text.as_bytes())].concat()))
    };
    let listed = |number: u32, title: &str| {
        [record(0, 0x03f3, &[number.to_le_bytes(), [0; 4]].concat()), kind(0), wide(title)].concat()
    };
    let list = [listed(3, "Über Kupfer"), kind(1), wide("One\rTwo"), listed(2, "Second")].concat();
    let mut main = Vec::new();
    let mut put = |record: Vec<u8>| {
        main.extend(record);
        main.len() as u32
    };
    // Two slides and an old version of one; an edit that lists them all, and a later one that replaces one.
    let document_end = put(record(0x0f, 0x03e8, &record(0x0f, 0x0ff0, &list)));
    let old_end = put(slide("as it was"));
    let third_end = put(slide("a box"));
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let first_directory = third_end;
    put(record(0, 0x1772, &words(&[(3 << 20) | 1, 0, document_end, old_end])));
    let first_edit = first_directory + 8 + 16;
    let new_at = put(record(0, 0x0ff5, &words(&[0, 0, 0, first_directory, 1, 4])));
    let second_directory = put(slide("as it is"));
    let second_edit = put(record(0, 0x1772, &words(&[(1 << 20) | 2, new_at])));
    put(record(0, 0x0ff5, &words(&[0, 0, first_edit, second_directory, 1, 4])));
    let user = [record(0, 0x0ff6, &[]), words(&[20, 0xe391_c05f, second_edit])].concat();
    let pictures = [record(0, 0xf01e, &noise(6000))].concat();
    let file = compound_of(&[
        ("/PowerPoint Document", main),
        ("/Current User", user),
        ("/Padding", noise(9000)),
        summary_stream(),
    ]);
    let expected = "---\ntitle: Медь\nauthor: A. Smith\ndate: 2009-07-03\nslides: 2\n---\n\n\
        [slide 1]\n\n## Über Kupfer\n\nOne\n\nTwo\n\na box\n\n[slide 2]\n\n## Second\n\nas it is\n";
    let warm = to(&file, ppt::MIME, Depth::Warm);
    assert_eq!(text_of(&warm), expected);
    assert!(warm.note.unwrap().ends_with("layout is lost"));
    let few = Limits { pages: 1, ..Limits::default() };
    let kept = degrade(&file, ppt::MIME, Depth::Cold, &Params::default(), &few);
    assert!(kept.note.unwrap().contains("2 slides are more than 1"));
    let odd = compound_of(&[("/PowerPoint Document", pictures), ("/Current User", vec![0; 30])]);
    assert!(to(&odd, ppt::MIME, Depth::Cold).note.unwrap().contains("list of slides cannot be read"));
}
