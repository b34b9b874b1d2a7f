use super::*;
use patina_query::ColumnKind;

fn column(name: &str, kind: ColumnKind) -> Column {
    Column { name: name.to_owned(), kind }
}

fn sample() -> (Vec<Column>, Vec<Vec<Value>>) {
    let columns = vec![
        column("name", ColumnKind::Plain),
        column("stored", ColumnKind::Bytes),
        column("stage", ColumnKind::Stage),
        column("created_at", ColumnKind::Timestamp),
        column("pinned", ColumnKind::Boolean),
        column("heat", ColumnKind::Plain),
    ];
    let first = vec![
        "a|b".into(),
        Value::Integer(2048),
        Value::Integer(2),
        Value::Integer(0),
        true.into(),
        Value::Real(0.5),
    ];
    let second = vec![
        "say \"hi\"\n\u{1b}[2J".into(),
        Value::Null,
        Value::Integer(9),
        Value::Null,
        false.into(),
        Value::Real(1.0),
    ];
    (columns, vec![first, second])
}

fn printed(style: Style) -> String {
    let (columns, rows) = sample();
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, style);
    printer.begin(&columns);
    for row in &rows {
        assert!(printer.row(row).is_continue());
    }
    printer.end(Outcome { rows: 2, ..Outcome::default() });
    printer.end(Outcome { message: Some("1 row deleted".to_owned()), ..Outcome::default() });
    printer.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_plain_table_is_aligned_and_cannot_move_the_cursor() {
    let table = printed(Style::plain(Format::Table));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 8, "{table}");
    assert_eq!(lines[1], "| name                | stored  | stage | created_at          | pinned | heat |");
    assert_eq!(lines[3], "| a|b                 | 2.0 KiB | cold  | 1970-01-01 00:00:00 | true   |  0.5 |");
    assert_eq!(
        lines[4],
        "| say \"hi\"\\n\\u{1b}[2J | NULL    | 9     | NULL                | false  |  1.0 |"
    );
    assert_eq!(lines[6], "(2 rows)");
    assert_eq!(lines[7], "(1 row deleted)");
}

#[test]
fn a_narrow_window_is_not_overflowed() {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, Style { width: Some(40), ..Style::plain(Format::Table) });
    printer.begin(&[column("id", ColumnKind::Plain), column("text", ColumnKind::Plain)]);
    assert!(printer.row(&[Value::Integer(1), Value::Text("word ".repeat(40))]).is_continue());
    printer.end(Outcome::default());
    printer.finish().unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(table.lines().count() > 6 && table.lines().all(|line| line.chars().count() <= 40), "{table}");
}

#[test]
fn a_row_that_does_not_fit_is_written_upright_and_many_lose_columns() {
    let upright = printed(Style { width: Some(60), ..Style::plain(Format::Table) });
    assert!(upright.starts_with("-- row 1\n      name: a|b\n    stored: 2.0 KiB\n"), "{upright}");
    let mut out = Vec::new();
    let (columns, rows) = sample();
    let mut printer = Printer::new(&mut out, Style { width: Some(60), ..Style::plain(Format::Table) });
    printer.begin(&columns);
    for _ in 0..9 {
        assert!(printer.row(&rows[0]).is_continue());
    }
    printer.end(Outcome::default());
    printer.finish().unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(table.ends_with("(9 rows, 5 of 6 columns shown: name the ones to see)\n"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 60), "{table}");
}

#[test]
fn a_terminal_gets_colours_and_the_time() {
    let table = printed(Style::terminal(Format::Table, Some(120)));
    assert!(table.contains("\u{1b}["), "{table}");
    assert!(table.contains(" ms)"), "{table}");
    assert!(!table.contains("\u{1b}[2J"), "{table}");
}

#[test]
fn data_formats_hold_raw_values_and_no_messages() {
    assert_eq!(
        printed(Style::plain(Format::Csv)),
        "name,stored,stage,created_at,pinned,heat\na|b,2048,2,0,true,0.5\n\"say \"\"hi\"\"\n\u{1b}[2J\",,9,,false,1.0\n"
    );
    let json: serde_json::Value = serde_json::from_str(&printed(Style::plain(Format::Json))).unwrap();
    assert_eq!(json[0]["stored"], 2048);
    assert_eq!(json[0]["pinned"], true);
    assert_eq!(json[1]["stored"], serde_json::Value::Null);
    let lines = printed(Style::plain(Format::Jsonl));
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn markdown_escapes_its_own_marks() {
    let markdown = printed(Style::plain(Format::Markdown));
    assert!(
        markdown.starts_with("| name | stored | stage | created_at | pinned | heat |\n| --- | ---: |"),
        "{markdown}"
    );
    assert!(markdown.contains("| a\\|b | 2.0 KiB | cold |"), "{markdown}");
    assert!(markdown.ends_with("1 row deleted\n"), "{markdown}");
}

#[test]
fn empty_results_are_valid_in_every_format() {
    for format in Format::ALL {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, Style::plain(format));
        printer.begin(&[column("a", ColumnKind::Plain), column("a", ColumnKind::Plain)]);
        printer.end(Outcome::default());
        printer.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        match format {
            Format::Json => assert_eq!(text, "[]\n"),
            Format::Jsonl => assert_eq!(text, ""),
            Format::Csv => assert_eq!(text, "a,a_2\n"),
            Format::Markdown => assert_eq!(text, "| a | a |\n| --- | --- |\n\n"),
            Format::Table => assert!(text.ends_with("(0 rows)\n"), "{text}"),
        }
    }
}

#[test]
fn a_closed_output_stops_the_rows_and_is_reported() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut printer = Printer::new(Closed, Style::plain(Format::Csv));
    printer.begin(&[column("a", ColumnKind::Plain)]);
    assert!(printer.row(&[Value::Null]).is_break());
    assert_eq!(printer.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn formats_have_names() {
    for (format, name) in Format::ALL.into_iter().zip(Format::NAMES) {
        assert_eq!(format.to_string(), name);
        assert_eq!(name.to_uppercase().parse(), Ok(format));
    }
    assert!("xml".parse::<Format>().is_err());
}
