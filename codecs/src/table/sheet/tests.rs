use crate::archive::tests::{noise, zip_of};
use crate::degrade::{Content, Degraded, Depth, degrade};
use crate::params::{Limits, Params};
use crate::table::WORKBOOK_MIME;

use super::{ODS, XLSX};

fn to(bytes: &[u8], mime: &str, depth: Depth) -> Degraded {
    degrade(bytes, mime, depth, &Params::default(), &Limits::default())
}

fn json_of(degraded: &Degraded) -> serde_json::Value {
    let Content::Bytes(bytes) = &degraded.content else { panic!("kept: {:?}", degraded.note) };
    serde_json::from_slice(bytes).unwrap()
}

fn note_of(degraded: Degraded) -> String {
    assert_eq!(degraded.content, Content::Same);
    degraded.note.unwrap()
}

/// A book of sheets, each a name and its `sheetData`.
fn xlsx_of(sheets: &[(&str, &str)], strings: &str) -> Vec<u8> {
    const NS: &str = "xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main' \
        xmlns:r='http://schemas.openxmlformats.org/officeDocument/2006/relationships'";
    let (mut list, mut rels) = (String::new(), String::new());
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for (at, (name, data)) in sheets.iter().enumerate() {
        list.push_str(&format!("<sheet name='{name}' sheetId='{}' r:id='r{at}'/>", at + 1));
        rels.push_str(&format!(
            "<Relationship Id='r{at}' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet' Target='worksheets/sheet{at}.xml'/>"
        ));
        let sheet = format!("<worksheet {NS}><sheetData>{data}</sheetData></worksheet>");
        parts.push((format!("xl/worksheets/sheet{at}.xml"), sheet.into_bytes()));
    }
    parts.push((
        "xl/workbook.xml".to_owned(),
        format!("<workbook {NS}><sheets>{list}</sheets></workbook>").into_bytes(),
    ));
    parts.push((
        "_rels/.rels".to_owned(),
        b"<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'><Relationship Id='r' \
          Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument' Target='xl/workbook.xml'/></Relationships>"
            .to_vec(),
    ));
    parts.push((
        "xl/_rels/workbook.xml.rels".to_owned(),
        format!("<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>{rels}</Relationships>").into_bytes(),
    ));
    parts.push((
        "xl/styles.xml".to_owned(),
        format!("<styleSheet {NS}><cellXfs><xf numFmtId='0'/><xf numFmtId='14'/></cellXfs></styleSheet>")
            .into_bytes(),
    ));
    parts.push(("xl/sharedStrings.xml".to_owned(), strings.as_bytes().to_vec()));
    parts.push(("xl/media/image1.png".to_owned(), noise(30_000)));
    let parts: Vec<(&str, Vec<u8>)> =
        parts.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    zip_of(&parts)
}

/// A title, an empty row, a header, and a value a day.
fn days() -> String {
    let mut data = "<row r='1'><c r='A1' t='inlineStr'><is><t>Levels of the harbour</t></is></c></row>\
        <row r='3'><c r='B3' t='inlineStr'><is><t>day</t></is></c><c r='C3' t='inlineStr'><is><t>level</t></is></c></row>"
        .to_owned();
    for n in 0..300 {
        let row = n + 4;
        data.push_str(&format!(
            "<row r='{row}'><c r='B{row}' s='1'><v>{}</v></c><c r='C{row}'><v>{}.5</v></c></row>",
            43831 + n,
            n % 30
        ));
    }
    data
}

fn strings() -> String {
    let items: String = (0..40).map(|n| format!("<si><t>name {n}</t></si>")).collect();
    format!(
        "<sst xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main' count='40' uniqueCount='40'>{items}</sst>"
    )
}

#[test]
fn a_sheet_is_a_table_and_its_dates_make_it_a_series() {
    let warm = to(&xlsx_of(&[("Levels", &days())], &strings()), XLSX, Depth::Warm);
    let json = json_of(&warm);
    assert_eq!((&json["patina"], &json["rows_in_all"]), (&"table 1".into(), &300.into()));
    assert_eq!(json["columns"][0]["name"], "day");
    assert_eq!(json["columns"][0]["quantiles"][0], "2020-01-01");
    assert_eq!(json["rows"]["head"][0], "2020-01-01,0.5");
    assert!(json["series"].is_object());
    assert!(warm.note.unwrap().contains("formulas"));
}

#[test]
fn several_sheets_each_stay_a_table_to_the_end() {
    let names: String = (0..40)
        .map(|n| {
            format!("<row r='{0}'><c r='A{0}' t='s'><v>{n}</v></c><c r='B{0}'><v>{n}</v></c></row>", n + 1)
        })
        .collect();
    let original = xlsx_of(&[("Levels", &days()), ("Names", &names), ("Empty", "")], &strings());
    let warm = to(&original, XLSX, Depth::Warm);
    assert_eq!(warm.media_type, WORKBOOK_MIME);
    let json = json_of(&warm);
    assert_eq!(json["sheets"].as_array().unwrap().len(), 2);
    assert_eq!(json["sheets"][1]["table"]["rows"]["head"][7], "name 7,7");
    let Content::Bytes(bytes) = &warm.content else { unreachable!() };
    let by_warm = to(bytes, WORKBOOK_MIME, Depth::Cold);
    let direct = to(&original, XLSX, Depth::Cold);
    assert_eq!(by_warm.content, direct.content);
    assert!((by_warm.fidelity * warm.fidelity - direct.fidelity).abs() < 1e-3);
    let Content::Bytes(cold) = &direct.content else { panic!("kept") };
    let Content::Trace(trace) = to(cold, WORKBOOK_MIME, Depth::Trace).content else { panic!("no trace") };
    assert!(trace.contains("Levels: 300 rows of 2 columns: day, level"), "{trace}");
}

#[test]
fn open_document_sheets_repeat_cells_and_rows() {
    let row = |n: u32| {
        format!(
            "<table:table-row><table:table-cell office:value-type='date' office:date-value='2020-01-{:02}'><text:p>x</text:p></table:table-cell>\
             <table:table-cell office:value-type='float' office:value='{n}' table:number-columns-repeated='2'/></table:table-row>",
            n % 28 + 1
        )
    };
    let header = "<table:table-row><table:table-cell><text:p>day</text:p></table:table-cell><table:table-cell><text:p>a</text:p></table:table-cell>\
        <table:table-cell><text:p>b &amp; c</text:p></table:table-cell></table:table-row>";
    let xml = |rows: &str| {
        format!(
            "<office:spreadsheet><table:table table:name='S'>{header}{rows}</table:table></office:spreadsheet>"
        )
    };
    let file = |xml: String| zip_of(&[("content.xml", xml.into_bytes()), ("Pictures/a.png", noise(30_000))]);
    let rows: String = (0..60).map(row).collect();
    let json = json_of(&to(&file(xml(&rows)), ODS, Depth::Warm));
    assert_eq!((&json["rows_in_all"], &json["columns"][2]["name"]), (&60.into(), &"b & c".into()));
    assert_eq!(json["rows"]["head"][3], "2020-01-04,3,3");
    let bomb = row(1).replace("<table:table-row>", "<table:table-row table:number-rows-repeated='1048576'>");
    assert!(note_of(to(&file(xml(&bomb)), ODS, Depth::Cold)).contains("more than 2000000 cells"));
    let wide = row(1).replace("repeated='2'", "repeated='4000000000'");
    assert!(note_of(to(&file(xml(&wide)), ODS, Depth::Cold)).contains("repeats a cell"));
}

#[test]
fn bombs_are_kept_and_say_why() {
    let far = "<row r='1'><c r='A1'><v>1</v></c></row><row r='2'><c r='B2'><v>2</v></c></row><row r='1048576'><c r='XFD1048576'><v>3</v></c></row>";
    assert!(
        note_of(to(&xlsx_of(&[("S", far)], &strings()), XLSX, Depth::Cold))
            .contains("more than 4096 columns")
    );
    let claim = strings().replace("uniqueCount='40'", "uniqueCount='999999999999'");
    assert!(
        note_of(to(&xlsx_of(&[("S", &days())], &claim), XLSX, Depth::Cold)).contains("claims more texts")
    );
    let zeros = "0".repeat(30 << 20);
    assert!(
        note_of(to(&xlsx_of(&[("S", &zeros)], &strings()), XLSX, Depth::Cold))
            .contains("unpacks to more than")
    );
    // Cells in a few far columns of many rows: little to read, much to lay out.
    let sparse: String = (1..9000)
        .map(|row| format!("<row r='{row}'><c r='A{row}'><v>1</v></c><c r='EZZ{row}'><v>1</v></c></row>"))
        .collect();
    assert!(
        note_of(to(&xlsx_of(&[("S", &sparse)], &strings()), XLSX, Depth::Cold)).contains("too far apart")
    );
}

#[test]
fn the_area_that_an_old_book_claims_is_looked_at() {
    use std::io::Write;
    let record = |kind: u16, data: &[u8]| {
        let mut out = kind.to_le_bytes().to_vec();
        out.extend((data.len() as u16).to_le_bytes());
        out.extend(data);
        out
    };
    let begin = record(0x0809, &[0, 6, 0x10, 0, 0, 0, 0, 0]);
    let cell = |row: u16, column: u16| {
        record(0x0203, &[&row.to_le_bytes()[..], &column.to_le_bytes(), &[0; 10]].concat())
    };
    let claim = record(0x0200, &[&[0u8; 4][..], &[255; 4], &[0, 0], &[0, 1], &[0, 0]].concat());
    let sheets: Vec<u8> = [begin.clone(), cell(0, 0), cell(65_535, 255)].concat().repeat(8);
    for stream in [sheets, [begin.clone(), claim].concat()] {
        let mut file = cfb::CompoundFile::create(std::io::Cursor::new(Vec::new())).unwrap();
        let mut writer = file.create_stream("/Workbook").unwrap();
        writer.write_all(&stream).unwrap();
        drop(writer);
        file.flush().unwrap();
        let bytes = file.into_inner().into_inner();
        let kept = to(&bytes, super::XLS, Depth::Cold);
        assert!(note_of(kept).contains("too far apart"));
    }
}
