//! The front matter of a Markdown file: facts about it, between two lines of `---` at its very start.
//!
//! What becomes of a document carries its title, author and pages there, so that the last stage still knows them.

/// Longer ones are something else.
const LINES_MAX: usize = 40;
/// Facts that a trace tells.
const TOLD: [&str; 7] = ["title", "author", "date", "pages", "slides", "chapters", "subject"];

/// The front matter with its lines of `---`, and the rest.
pub(super) fn split(text: &str) -> (Option<&str>, &str) {
    let Some(body) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else {
        return (None, text);
    };
    let mut end = text.len() - body.len();
    for (at, line) in body.split_inclusive('\n').take(LINES_MAX).enumerate() {
        end += line.len();
        let line = line.trim_end();
        if line == "---" && at > 0 {
            let (front, rest) = text.split_at(end);
            return (Some(front.trim_end()), rest);
        }
        let is_nested = line.starts_with([' ', '-', '#']);
        if !is_nested && !line.split_once(':').is_some_and(|(name, _)| is_name(name)) {
            return (None, text);
        }
    }
    (None, text)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

/// The facts worth telling, in the order of their worth.
pub(super) fn facts(front: &str) -> impl Iterator<Item = (&'static str, &str)> {
    TOLD.into_iter().filter_map(move |told| {
        let (_, value) =
            front.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == told)?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then_some((told, value))
    })
}
