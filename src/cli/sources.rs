//! From paths on the command line to files and the names their objects get.
//!
//! A file is named by the path as it was typed: `photos/a.jpg` becomes `photos/a.jpg`. A path from the root, or
//! one with `..` in it, counts from its last part that is a name: `/home/me/photos` becomes `photos/…`, `../a.txt`
//! becomes `a.txt`. Names always use `/`.
//!
//! Within a tree, links and the database's own folder are left out.

use std::fs;
use std::path::{Component, Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// A file to be read and the name of its object.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the file is.
    pub path: PathBuf,
    /// What its object will be called.
    pub name: String,
    /// Its size when it was found.
    pub bytes: u64,
}

/// Every file under `roots`, in the order of their names; what cannot be read comes as a line that says so.
pub fn walk<'a>(
    roots: &'a [PathBuf],
    prefix: &'a str,
    database: &Path,
) -> impl Iterator<Item = Result<Source, String>> + 'a {
    let database = fs::canonicalize(database).ok();
    roots.iter().flat_map(move |root| {
        let database = database.clone();
        WalkDir::new(root)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(move |entry| !is_folder_of(entry, database.as_deref()))
            .filter_map(move |entry| match entry {
                Ok(entry) if is_folder(&entry) || is_inner_link(&entry) => None,
                Ok(entry) => Some(source(root, &entry, prefix)),
                Err(error) => Some(Err(walk_error(root, &error))),
            })
    })
}

/// The name the object of `file` gets when `root` was typed; `None` where the path is not text or names nothing.
pub fn object_name(root: &Path, file: &Path, prefix: &str) -> Option<String> {
    let inner = file.strip_prefix(root).ok()?;
    let mut parts = Vec::new();
    for part in typed_name(root).into_iter().chain(names(inner)) {
        parts.push(part?);
    }
    if parts.is_empty() { None } else { Some(format!("{prefix}{}", parts.join("/"))) }
}

fn typed_name(root: &Path) -> Vec<Option<&str>> {
    let is_plain = !root
        .components()
        .any(|part| matches!(part, Component::RootDir | Component::ParentDir | Component::Prefix(_)));
    if is_plain {
        return names(root).collect();
    }
    names(root).last().into_iter().collect()
}

/// The parts of a path that are names, each as text where it is text.
fn names(path: &Path) -> impl Iterator<Item = Option<&str>> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_str()),
        _ => None,
    })
}

fn source(root: &Path, entry: &DirEntry, prefix: &str) -> Result<Source, String> {
    let shown = entry.path().display();
    let metadata = fs::metadata(entry.path()).map_err(|error| format!("{shown}: {error}; left out"))?;
    if !metadata.is_file() {
        return Err(format!("{shown} is no regular file; left out"));
    }
    let name = object_name(root, entry.path(), prefix).ok_or_else(|| {
        format!("{shown}: the name is not valid UTF-8; rename the file and import it again")
    })?;
    Ok(Source { path: entry.path().to_owned(), name, bytes: metadata.len() })
}

/// Also when it was named by a link to it.
fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_dir() || (entry.depth() == 0 && entry.path().is_dir())
}

fn is_inner_link(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.path_is_symlink()
}

fn is_folder_of(entry: &DirEntry, database: Option<&Path>) -> bool {
    entry.file_type().is_dir()
        && database.is_some_and(|folder| fs::canonicalize(entry.path()).is_ok_and(|path| path == folder))
}

fn walk_error(root: &Path, error: &walkdir::Error) -> String {
    let shown = error.path().unwrap_or(root).display();
    match error.io_error() {
        Some(cause) => format!("{shown}: {cause}; left out"),
        None => format!("{shown}: {error}; left out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(root: &str, file: &str) -> Option<String> {
        object_name(Path::new(root), Path::new(file), "")
    }

    #[test]
    fn a_relative_path_is_kept_as_typed() {
        assert_eq!(named("photos/a.jpg", "photos/a.jpg").as_deref(), Some("photos/a.jpg"));
        assert_eq!(named("./photos", "./photos/x/a.jpg").as_deref(), Some("photos/x/a.jpg"));
        assert_eq!(named(".", "./x/a.jpg").as_deref(), Some("x/a.jpg"));
    }

    #[test]
    fn a_path_from_elsewhere_counts_from_its_last_part() {
        assert_eq!(named("/home/me/photos", "/home/me/photos/a.jpg").as_deref(), Some("photos/a.jpg"));
        assert_eq!(named("../a.txt", "../a.txt").as_deref(), Some("a.txt"));
        assert_eq!(named("../..", "../../x/a.txt").as_deref(), Some("x/a.txt"));
    }

    #[test]
    fn the_prefix_goes_in_front() {
        let name = object_name(Path::new("a.txt"), Path::new("a.txt"), "2026/");
        assert_eq!(name.as_deref(), Some("2026/a.txt"));
    }

    #[test]
    fn a_walk_leaves_out_links_and_the_database_itself() {
        let tree = tempfile::tempdir().unwrap();
        for folder in ["data", "deep"] {
            fs::create_dir(tree.path().join(folder)).unwrap();
        }
        for file in ["b.txt", "data/000001.wal", "deep/a.txt"] {
            fs::copy("Cargo.toml", tree.path().join(file)).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(tree.path().join("b.txt"), tree.path().join("link")).unwrap();
        let found = |root: &Path| -> Vec<PathBuf> {
            let roots = [root.to_owned()];
            walk(&roots, "", &tree.path().join("data"))
                .map(|source| source.unwrap().path.strip_prefix(root).unwrap().to_owned())
                .collect()
        };
        let expected = [PathBuf::from("b.txt"), PathBuf::from("deep/a.txt")];
        assert_eq!(found(tree.path()), expected);
        #[cfg(unix)]
        {
            let elsewhere = tempfile::tempdir().unwrap();
            let link = elsewhere.path().join("tree");
            std::os::unix::fs::symlink(tree.path(), &link).unwrap();
            assert_eq!(found(&link), expected, "a link on the command line is followed");
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_a_line_not_a_stop() {
        let roots = [PathBuf::from("no/such/file"), PathBuf::from("Cargo.toml")];
        let found: Vec<_> = walk(&roots, "", Path::new("nowhere")).collect();
        assert!(found[0].as_ref().unwrap_err().starts_with("no/such/file: No such file"));
        assert_eq!(found[1].as_ref().unwrap().name, "Cargo.toml");
    }
}
