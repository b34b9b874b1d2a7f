//! Names and files, as programs see them and as they are on the disk.
//!
//! A name is durable once its directory was synced. Until then each creation, renaming, linking and removal survives a power loss or does
//! not, whatever became of the others; a renaming does as a whole. What is in a directory whose own name was lost is lost with it.

use super::content::Content;
use super::dice::Dice;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file, whatever its names.
#[derive(Default)]
pub(super) struct Inode {
    pub content: Mutex<Content>,
    /// Open handles: without a name it still takes its space while there are any.
    pub handles: AtomicUsize,
}

#[derive(Clone)]
enum Node {
    Dir,
    File(Arc<Inode>),
}

impl Node {
    fn file(&self) -> Option<&Arc<Inode>> {
        match self {
            Self::Dir => None,
            Self::File(inode) => Some(inode),
        }
    }
}

type Names = BTreeMap<PathBuf, Node>;

/// A change of names that survives as a whole or not at all.
struct Change {
    gone: Option<PathBuf>,
    come: Option<(PathBuf, Node)>,
}

impl Change {
    fn apply(&self, names: &mut Names) {
        if let Some(path) = &self.gone {
            names.remove(path);
        }
        if let Some((path, node)) = &self.come {
            names.insert(path.clone(), node.clone());
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let paths = self.gone.iter().chain(self.come.iter().map(|(path, _)| path));
        paths.into_iter().any(|path| dir_of(path) == dir)
    }
}

#[derive(Default)]
pub(super) struct Disk {
    live: Names,
    durable: Names,
    /// Changes of names in directories that were not synced since, oldest first.
    unsynced: Vec<Change>,
    /// Files that lost a name, for the space that they take while they are open.
    unlinked: Vec<Arc<Inode>>,
    pub locked: HashSet<PathBuf>,
}

/// What takes space does so in blocks.
const SPACE_BLOCK_BYTES: u64 = 512;

pub(super) fn space_bytes(len: usize) -> u64 {
    (len as u64).next_multiple_of(SPACE_BLOCK_BYTES)
}

/// The directory as its names say it: that of a relative name is empty.
fn normal(dir: &Path) -> &Path {
    if dir == Path::new(".") { Path::new("") } else { dir }
}

fn dir_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<Arc<Inode>> {
        self.live.get(path).and_then(Node::file).cloned().ok_or_else(not_found)
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) {
        let mut missing: Vec<&Path> = dir.ancestors().collect();
        missing.retain(|dir| dir.file_name().is_some() && !self.live.contains_key(*dir));
        for dir in missing.into_iter().rev() {
            self.change(Change { gone: None, come: Some((dir.to_owned(), Node::Dir)) });
        }
    }

    /// As systems do it: a file that is there keeps its other names, and loses its bytes.
    pub(super) fn create(&mut self, path: &Path) -> Arc<Inode> {
        if let Ok(inode) = self.file(path) {
            inode.content.lock().truncate(0);
            return inode;
        }
        let inode = Arc::<Inode>::default();
        self.change(Change { gone: None, come: Some((path.to_owned(), Node::File(inode.clone()))) });
        inode
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = normal(dir);
        match self.live.get(dir) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None if dir.as_os_str().is_empty() => {}
            None => return Err(not_found()),
        }
        let inside = self.live.keys().filter(|path| dir_of(path) == dir);
        Ok(inside
            .filter_map(|path| path.file_name())
            .map(|name: &OsStr| name.to_string_lossy().into_owned())
            .collect())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        if let Ok(replaced) = self.file(to) {
            self.unlink(replaced);
        }
        self.change(Change { gone: Some(from.to_owned()), come: Some((to.to_owned(), Node::File(inode))) });
        Ok(())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        if self.live.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(Change { gone: None, come: Some((to.to_owned(), Node::File(inode))) });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.file(path)?;
        self.unlink(inode);
        self.change(Change { gone: Some(path.to_owned()), come: None });
        Ok(())
    }

    fn unlink(&mut self, inode: Arc<Inode>) {
        self.unlinked.retain(|inode| inode.handles.load(Ordering::SeqCst) > 0);
        if inode.handles.load(Ordering::SeqCst) > 0 {
            self.unlinked.push(inode);
        }
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let dir = normal(dir);
        self.unsynced.retain(|change| !change.is_in(dir));
        self.durable.retain(|path, _| dir_of(path) != dir);
        let inside = self.live.iter().filter(|(path, _)| dir_of(path) == dir);
        self.durable.extend(inside.map(|(path, node)| (path.clone(), node.clone())));
    }

    /// Bytes that files take. O(files).
    pub(super) fn used_bytes(&mut self) -> u64 {
        self.unlinked.retain(|inode| inode.handles.load(Ordering::SeqCst) > 0);
        let named = self.live.values().filter_map(Node::file);
        let mut files: Vec<_> = named.chain(&self.unlinked).collect();
        files.sort_unstable_by_key(|inode| Arc::as_ptr(inode));
        files.dedup_by_key(|inode| Arc::as_ptr(inode));
        files.into_iter().map(|inode| space_bytes(inode.content.lock().live().len())).sum()
    }

    /// The disk as the death of the process leaves it.
    pub(super) fn killed(&self) -> Self {
        Self::of(self.live.clone(), |content| content.live().clone())
    }

    /// The disk after a power loss: by luck, or without any.
    pub(super) fn crashed(&self, mut dice: Option<Dice>) -> Self {
        let mut names = self.durable.clone();
        if let Some(dice) = &mut dice {
            for change in &self.unsynced {
                if dice.survives() {
                    change.apply(&mut names);
                }
            }
        }
        // Shorter names come first: what is in a lost directory goes after it.
        for path in self.live.iter().filter(|(_, node)| node.file().is_none()).map(|(path, _)| path) {
            let parent_is_lost = self.live.contains_key(dir_of(path)) && !names.contains_key(dir_of(path));
            if parent_is_lost || !names.contains_key(path) {
                names.remove(path);
                names.retain(|inside, _| dir_of(inside) != path);
            }
        }
        Self::of(names, |content| match &mut dice {
            Some(dice) => content.survivors(dice),
            None => content.durable().clone(),
        })
    }

    /// Files under two names stay one.
    fn of(names: Names, mut bytes: impl FnMut(&Content) -> Arc<Vec<u8>>) -> Self {
        let mut copies: HashMap<*const Inode, Arc<Inode>> = HashMap::new();
        let mut copy = |node| match node {
            Node::Dir => Node::Dir,
            Node::File(inode) => {
                let copied = copies.entry(Arc::as_ptr(&inode)).or_insert_with(|| {
                    let content = Content::new(bytes(&inode.content.lock()));
                    Arc::new(Inode { content: Mutex::new(content), handles: AtomicUsize::new(0) })
                });
                Node::File(copied.clone())
            }
        };
        let live: Names = names.into_iter().map(|(path, node)| (path, copy(node))).collect();
        Self { durable: live.clone(), live, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn images(disk: &Disk) -> BTreeSet<Vec<String>> {
        let names = |seed| disk.crashed(Some(Dice::new(seed))).list(Path::new("d")).unwrap_or_default();
        (0..500).map(names).collect()
    }

    fn with_dir() -> Disk {
        let mut disk = Disk::default();
        disk.create_dir_all(Path::new("d"));
        disk.sync_dir(Path::new("."));
        disk
    }

    #[test]
    fn each_change_of_names_survives_by_itself_and_a_renaming_as_a_whole() {
        let mut disk = with_dir();
        disk.create(Path::new("d/a"));
        disk.sync_dir(Path::new("d"));
        disk.rename(Path::new("d/a"), Path::new("d/b")).unwrap();
        disk.create(Path::new("d/c"));
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let expected = [names(&["a"]), names(&["a", "c"]), names(&["b"]), names(&["b", "c"])];
        assert_eq!(images(&disk), expected.into());
        disk.sync_dir(Path::new("d"));
        assert_eq!(images(&disk), [names(&["b", "c"])].into());
    }

    #[test]
    fn what_is_in_a_lost_directory_is_lost() {
        let mut disk = Disk::default();
        disk.create_dir_all(Path::new("d/e"));
        disk.create(Path::new("d/e/a"));
        disk.sync_dir(Path::new("d/e"));
        disk.sync_dir(Path::new("d"));
        assert!(disk.crashed(None).file(Path::new("d/e/a")).is_err());
        disk.sync_dir(Path::new(""));
        assert!(disk.crashed(None).file(Path::new("d/e/a")).is_ok());
    }

    #[test]
    fn space_is_free_when_the_last_name_and_the_last_handle_are_gone() {
        let mut disk = with_dir();
        let inode = disk.create(Path::new("d/a"));
        inode.content.lock().write(0, &[1; 700]);
        disk.hard_link(Path::new("d/a"), Path::new("d/b")).unwrap();
        assert_eq!(disk.used_bytes(), 1024);
        inode.handles.store(1, Ordering::SeqCst);
        disk.remove(Path::new("d/a")).unwrap();
        disk.remove(Path::new("d/b")).unwrap();
        assert_eq!(disk.used_bytes(), 1024);
        inode.handles.store(0, Ordering::SeqCst);
        assert_eq!(disk.used_bytes(), 0);
    }
}
