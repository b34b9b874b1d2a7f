use super::cells::{time_of, time_text};
use super::*;

fn of(name: &str, cells: &[&str]) -> Stats {
    Stats::of(name, cells.iter().map(|cell| Cow::Borrowed(*cell)), false)
}

#[test]
fn columns_have_the_narrowest_type_that_fits() {
    let cases: [(&[&str], Ty); 9] = [
        (&["1", "2", "-3"], Ty::Integer),
        (&["1", "2.5", "1e3"], Ty::Number),
        (&["00501", "10001"], Ty::Text),
        (&["2010-01-31", "2010-02-01"], Ty::Time),
        (&["2010-02-30"], Ty::Text),
        (&["true", "false", ""], Ty::Boolean),
        (&["", "NA"], Ty::Null),
        (&["1", "two"], Ty::Text),
        (&["inf", "1"], Ty::Text),
    ];
    for (cells, ty) in cases {
        assert_eq!(of("x", cells).ty, ty, "{cells:?}");
    }
    assert_eq!(of("created_at", &["1700000000", "1700000060"]).ty, Ty::Time);
    assert_eq!(of("amount", &["1700000000", "1700000060"]).ty, Ty::Integer);
    assert_eq!(Stats::of("x", ["1,5"].map(Cow::from).into_iter(), true).ty, Ty::Number);
}

#[test]
fn one_odd_cell_in_a_hundred_is_counted_and_does_not_make_numbers_text() {
    let mut cells: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    cells[7] = "seven".to_owned();
    let stats = Stats::of("n", cells.iter().map(Cow::from), false);
    assert_eq!((stats.ty, stats.odd, stats.values), (Ty::Integer, 1, 200));
}

#[test]
fn times_are_read_and_written() {
    for (text, ms) in [
        ("1970-01-01", 0),
        ("2000-02-29", 951_782_400_000),
        ("2010/01/31 23:59", 1_264_982_340_000),
        ("2010-01-31T23:59:59.5Z", 1_264_982_399_500),
        ("2010-02-01T01:00:00+01:00", 1_264_982_400_000),
        ("31.01.2010", 1_264_896_000_000),
        ("1969-12-31T23:59:59", -1000),
    ] {
        assert_eq!(time_of(text), Some(ms), "{text}");
        assert_eq!(time_of(&time_text(ms)), Some(ms), "{text}");
    }
    for text in [
        "2010-13-01",
        "01/02/2010",
        "2010-1",
        "2010-01-01T25:00",
        "2010-01-01Tx",
        "10-01-01",
        "2010-01-01T1+",
    ] {
        assert_eq!(time_of(text), None, "{text}");
    }
    assert!(!time_text(i64::MIN).is_empty() && !time_text(i64::MAX).is_empty());
}

#[test]
fn quantiles_give_the_distribution_back() {
    let even: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let stats = Stats::of("n", even.iter().map(Cow::from), false);
    let numbers = stats.numbers.as_ref().unwrap();
    assert_eq!((numbers.quantiles[0], numbers.quantiles[10], numbers.quantiles[20]), (0.0, 500.0, 999.0));
    assert!((numbers.mean - 499.5).abs() < 1e-6);
    assert!(stats.held > 0.98, "{}", stats.held);
    assert!(stats.reduced().held <= stats.held && stats.reduced().held > 0.9);
    // A heap of one value and a few far away: the line through the quantiles is wrong between them.
    let skewed: Vec<String> =
        (0..1000).map(|n| if n % 50 == 0 { n * n } else { 1 }).map(|n| n.to_string()).collect();
    let skewed = Stats::of("n", skewed.iter().map(Cow::from), false);
    assert!(skewed.held < 1.0 && skewed.reduced().held <= skewed.held);
}

#[test]
fn top_values_hold_what_they_list() {
    let stats = of("s", &["a", "a", "a", "b", "b", "c"]);
    assert_eq!(stats.top, [("a".to_owned(), 3), ("b".to_owned(), 2)]);
    assert!((stats.held - 5.0 / 6.0).abs() < 1e-9);
    assert_eq!(of("s", &["x", "y", "z"]).held, 0.0);
}

#[test]
fn statistics_are_read_as_they_were_written() {
    for cells in
        [&["1", "2", "2", "x y"][..], &["2010-01-31", "2010-02-01", ""], &["0.5", "1.25", "1.25"], &[]]
    {
        let stats = of("c", cells);
        let mut members = Members::inline();
        stats.write(&mut members);
        let read = Stats::read(&serde_json::from_str(&members.finish()).unwrap());
        assert_eq!(
            (read.ty, read.values, read.nulls, &read.top),
            (stats.ty, stats.values, stats.nulls, &stats.top)
        );
        assert_eq!(read.range(), stats.range());
        assert!((read.held - stats.held).abs() < 1e-4);
    }
}

#[test]
fn great_numbers_do_not_overflow() {
    let stats = of("n", &["1e308", "1e308", "-1e308", "1e308"]);
    assert!((0.0..=1.0).contains(&stats.held) && (0.0..=1.0).contains(&stats.reduced().held));
}

#[test]
fn a_smaller_choice_is_part_of_a_greater_one() {
    let (few, many) = (sampling::chosen(1000, 10), sampling::chosen(1000, 100));
    assert_eq!((few.len(), many.len()), (10, 100));
    assert!(few.iter().all(|index| many.contains(index)));
    assert!(many.is_sorted() && many[0] < 100 && many[99] > 900);
    assert_eq!(sampling::chosen(3, 10), [0, 1, 2]);
}
