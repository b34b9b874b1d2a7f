//! What the file system says: bytes that a folder takes, bytes that this process wrote.

#![expect(clippy::disallowed_methods, reason = "figures of the file system are what is measured")]

use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of the blocks that the files of a folder take, as `du` counts them. A file that goes while it is looked at takes none.
pub fn taken_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let taken = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => taken_bytes(&entry.path()),
        Ok(metadata) => blocks_bytes(&metadata),
        Err(_) => 0,
    });
    taken.sum()
}

#[cfg(unix)]
fn blocks_bytes(metadata: &std::fs::Metadata) -> u64 {
    // The unit of `st_blocks`, whatever the file system's own is.
    const UNIT_BYTES: u64 = 512;
    std::os::unix::fs::MetadataExt::blocks(metadata) * UNIT_BYTES
}

#[cfg(not(unix))]
fn blocks_bytes(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}

/// Bytes that this process gave to write calls, where the system counts them.
pub fn written_bytes() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/self/io").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("wchar: "))?.trim().parse().ok()
}

/// How long a folder must take the same bytes to count as still.
const STILL: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until a folder takes the same bytes for a while. Gives when it began to.
pub fn wait_until_still(folder: &Path) -> Instant {
    let mut since = Instant::now();
    let mut bytes = taken_bytes(folder);
    while since.elapsed() < STILL {
        std::thread::sleep(LOOK_EVERY);
        let now = taken_bytes(folder);
        if now != bytes {
            (since, bytes) = (Instant::now(), now);
        }
    }
    since
}
