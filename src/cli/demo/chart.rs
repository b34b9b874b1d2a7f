//! A bar chart for a terminal: bars from left to right, drawn in eighths of a line.

use std::fmt::Write;

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Every line is this wide at most, label and axis included.
pub const COLUMNS: u16 = 80;
const LABEL_COLUMNS: usize = 8;
const BAR_COLUMNS: usize = COLUMNS as usize - LABEL_COLUMNS - 1;

/// Draws `values` as bars up to `rows` lines high, on a scale that reaches to `top`, with `marks` below: each is an
/// index into `values` and a text.
pub fn draw(
    values: &[u64],
    top: u64,
    rows: usize,
    marks: &[(usize, &str)],
    label: impl Fn(u64) -> String,
) -> String {
    let mut chart = String::new();
    for row in (0..rows).rev() {
        let scale = if row + 1 == rows { label(top) } else { String::new() };
        let bars: String = (0..BAR_COLUMNS)
            .map(|column| values.get(column * values.len() / BAR_COLUMNS).copied().unwrap_or(0))
            .map(|value| EIGHTHS[eighths_of(value, top, rows).saturating_sub(row * 8).min(8)])
            .collect();
        let _ = writeln!(chart, "{scale:>LABEL_COLUMNS$}│{}", bars.trim_end());
    }
    let _ = writeln!(chart, "{:>LABEL_COLUMNS$}└{}", label(0), "─".repeat(BAR_COLUMNS));
    chart.push_str(&mark_line(marks, values.len()));
    chart
}

/// How high a value stands, in eighths of a line. What is there at all is seen.
fn eighths_of(value: u64, top: u64, rows: usize) -> usize {
    if top == 0 || value == 0 {
        return 0;
    }
    let full = (rows * 8) as f64;
    let height = (value as f64 / top as f64 * full).round();
    (height as usize).clamp(1, rows * 8)
}

/// A line with each text under the first column of its bar; one that would touch its neighbour is left out.
fn mark_line(marks: &[(usize, &str)], values: usize) -> String {
    let mut line = String::new();
    for (index, text) in marks {
        let column = LABEL_COLUMNS + 1 + (index * BAR_COLUMNS).div_ceil(values.max(1));
        let end = line.chars().count();
        if column > end && column + text.chars().count() <= usize::from(COLUMNS) {
            line.extend(std::iter::repeat_n(' ', column - end));
            line.push_str(text);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_as_high_as_their_values_and_fill_the_line() {
        let chart = draw(&[16, 8, 4, 1], 16, 2, &[(0, "a"), (2, "c")], |value| format!("{value}"));
        let lines: Vec<&str> = chart.lines().collect();
        let wide =
            |bars: &[(&str, usize)]| bars.iter().map(|(bar, times)| bar.repeat(*times)).collect::<String>();
        assert_eq!(lines[0], format!("      16│{}", "█".repeat(18)));
        assert_eq!(lines[1], format!("        │{}", wide(&[("█", 36), ("▄", 18), ("▁", 17)])));
        assert_eq!(lines[2], format!("       0└{}", "─".repeat(71)));
        assert_eq!(lines[3], format!("         a{}c", " ".repeat(35)));
    }

    #[test]
    fn every_line_fits_a_terminal() {
        for count in [1, 36, 71, 500] {
            let values: Vec<u64> = (0..count).map(|month| 3_000_000 - month * 1_000).collect();
            let marks = [(0, "2026"), (count as usize - 1, "the end")];
            let chart = draw(&values, 3_522_756, 8, &marks, |value| format!("{value}"));
            assert!(chart.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{chart}");
        }
    }

    #[test]
    fn nothing_at_all_is_drawn_without_a_panic() {
        let _ = draw(&[], 0, 3, &[(0, "x")], |value| value.to_string());
        let _ = draw(&[5, u64::MAX], 1, 3, &[(1, "x")], |value| value.to_string());
    }
}
