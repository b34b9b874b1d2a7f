//! Values as people read them, and Markdown.

use std::io::{self, Write};
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use patina_query::{Column, ColumnKind, Value};

/// The names of the stages, by number.
const STAGES: [&str; 5] = ["hot", "warm", "cold", "trace", "purged"];

/// A value as text for people: by its column's kind, without control characters.
pub(super) fn shown(column: &Column, value: &Value, zone: &TimeZone) -> String {
    match (column.kind, value) {
        (_, Value::Null) => "NULL".to_owned(),
        (ColumnKind::Bytes, Value::Integer(count @ 0..)) => bytes(count.unsigned_abs()),
        (ColumnKind::Bytes, Value::Real(count)) if (0.0..1e18).contains(count) => bytes(count.round() as u64),
        (ColumnKind::Timestamp, Value::Integer(ms)) => time(*ms, zone).unwrap_or_else(|| ms.to_string()),
        (ColumnKind::Stage, Value::Integer(number)) => {
            stage_name(*number).map_or_else(|| number.to_string(), str::to_owned)
        }
        (ColumnKind::Boolean, Value::Integer(0)) => "false".to_owned(),
        (ColumnKind::Boolean, Value::Integer(1)) => "true".to_owned(),
        (_, Value::Integer(number)) => number.to_string(),
        (_, Value::Real(number)) => real(*number),
        (_, Value::Text(text)) => escape_controls(text),
        (_, Value::Blob(bytes)) => format!("x'{}'", hex(bytes)),
    }
}

/// The name of a stage.
pub(super) fn stage_name(number: i64) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(|number| STAGES.get(number)).copied()
}

/// Whether a value stands at the right of its cell.
pub(super) fn is_number(column: &Column, value: &Value) -> bool {
    let spelled = matches!(column.kind, ColumnKind::Stage | ColumnKind::Boolean | ColumnKind::Timestamp);
    matches!(value, Value::Integer(_) | Value::Real(_)) && !spelled
}

fn bytes(count: u64) -> String {
    ByteSize::b(count).display().iec().to_string()
}

fn time(ms: i64, zone: &TimeZone) -> Option<String> {
    let moment = Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone());
    Some(moment.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Enough digits to be useful, and `1.0` stays `1.0`.
fn real(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    let exact = number == 0.0 || !(1e-4..1e15).contains(&number.abs());
    format!("{:?}", if exact { number } else { rounded })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text that cannot move the cursor or change colours: control characters are spelled out.
pub(super) fn escape_controls(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// `1.3 ms`.
pub(super) fn elapsed(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    if milliseconds < 1_000.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

pub(super) fn write_markdown_head(out: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    let names: Vec<String> = columns.iter().map(|column| markdown(&escape_controls(&column.name))).collect();
    writeln!(out, "| {} |", names.join(" | "))?;
    let rules: Vec<&str> =
        columns.iter().map(|column| if column.kind == ColumnKind::Bytes { "---:" } else { "---" }).collect();
    writeln!(out, "| {} |", rules.join(" | "))
}

pub(super) fn write_markdown_row(
    out: &mut impl Write,
    columns: &[Column],
    row: &[Value],
    zone: &TimeZone,
) -> io::Result<()> {
    let cells: Vec<String> =
        columns.iter().zip(row).map(|(column, value)| markdown(&shown(column, value, zone))).collect();
    writeln!(out, "| {} |", cells.join(" | "))
}

fn markdown(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}
