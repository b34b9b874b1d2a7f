//! EPUB: chapters of XHTML in the order of the book's spine.

use super::Contents;
use super::package::each_tag;
use crate::archive::zip::Zip;
use crate::registry::{Input, Refusal};
use crate::text::html;

pub(super) const MIME: &str = "application/epub+zip";

pub(super) fn read(input: &Input<'_>) -> Result<Contents, Refusal> {
    let mut zip = Zip::open(input)?;
    let missing = |name: &str| Refusal::new(format!("has no {name}"));
    let container = zip.text("META-INF/container.xml")?.ok_or_else(|| missing("META-INF/container.xml"))?;
    let mut package = None;
    each_tag(&container, |name, attribute| {
        if name == "rootfile" {
            package = package.take().or_else(|| attribute("full-path"));
        }
    });
    let package = package.ok_or_else(|| missing("package"))?;
    let xml = zip.text(&package)?.ok_or_else(|| missing("package"))?;
    let (mut items, mut spine): (Vec<(String, String)>, Vec<String>) = (Vec::new(), Vec::new());
    let mut contents = Contents::default();
    each_tag(&xml, |name, attribute| match name {
        "item" => {
            if attribute("media-type").is_some_and(|mime| mime.starts_with("image/")) {
                contents.pictures += 1;
            }
            items.extend(attribute("id").zip(attribute("href")));
        }
        "itemref" => spine.extend(attribute("idref")),
        _ => {}
    });
    super::package::tell_properties(&xml, &mut contents);
    if spine.len() as u64 > input.limits.pages {
        return Err(Refusal::new(format!("{} chapters are more than {}", spine.len(), input.limits.pages)));
    }
    contents.tell("chapters", &spine.len().to_string());
    let folder = package.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    for id in &spine {
        input.deadline.check()?;
        let Some((_, href)) = items.iter().find(|(known, _)| known == id) else { continue };
        if let Some(chapter) = zip.text(&format!("{folder}{}", href.replace("%20", " ")))? {
            let text = html::visible_text(&chapter);
            // Where a block ends and the next begins, both leave lines.
            let mut is_gap = true;
            for line in text.lines().map(str::trim_end) {
                if line.is_empty() && is_gap {
                    continue;
                }
                is_gap = line.is_empty();
                contents.text.push_str(line);
                contents.text.push('\n');
            }
            if !is_gap {
                contents.text.push('\n');
            }
        }
    }
    Ok(contents)
}
