//! The name that was probably meant.

/// The candidate nearest to `name`, if it is near enough to suggest: a third of the letters may differ, ignoring case.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let most = (name.chars().count() / 3).max(1);
    let distances =
        candidates.into_iter().map(|candidate| (distance(&name, &candidate.to_lowercase()), candidate));
    distances
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

/// Letters inserted, removed, replaced, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        let columns = ["name", "stage", "stored", "size", "next_decay_at"];
        for (typed, meant) in [
            ("nmae", Some("name")),
            ("Stge", Some("stage")),
            ("siz", Some("size")),
            ("next_decy_at", Some("next_decay_at")),
            ("wholly", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, columns), meant, "{typed}");
        }
    }
}
