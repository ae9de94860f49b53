//! Opens files that an admin names, on threads of their own, because open(2) may never return.
//!
//! A pipe without a writer, a device and a mount whose server is down all block; on a worker of the
//! runtime that would stop every stream. Only regular files are opened. A call that takes too long
//! is given up. Its thread cannot be ended, so each path has at most one such thread, and their
//! total is limited.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Blame, Error};
use crate::media::IgnorePoison;

/// Time limit for opening a file; beyond it the file system counts as hung.
pub const OPEN_MAX: Duration = Duration::from_secs(5);

/// Most calls that may hang at the same time; beyond it no file is opened.
const HUNG_CALLS_MAX: usize = 16;

/// Paths whose call has not returned within its time limit.
static HUNG: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file handle.
    pub file: File,
    /// Its path without links, as the kernel reports it.
    pub path: PathBuf,
}

impl Opened {
    /// A path to this very file while it is open, whatever happens to its name.
    pub fn handle(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Opens a regular file. Blocks: call it inside [`within`].
///
/// # Errors
/// When it does not exist, is not a regular file, or may not be read.
pub fn open_regular(path: &Path) -> io::Result<Opened> {
    let regular = |metadata: &std::fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a regular file")),
    };
    // Opening a device may have side effects, so a device is not even opened.
    regular(&std::fs::metadata(path)?)?;
    let without_waiting = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(without_waiting.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    // The name may lead to another file by now.
    regular(&file.metadata()?)?;
    let mut opened = Opened { file, path: PathBuf::new() };
    opened.path = std::fs::read_link(opened.handle())?;
    Ok(opened)
}

/// Reads a whole small regular file.
///
/// # Errors
/// As [`open_regular`] and [`within`], and when it has more than `bytes_max` bytes.
pub async fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let read = move |path: &Path| {
        let opened = open_regular(path)?;
        let mut bytes = Vec::new();
        opened.file.take(bytes_max + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > bytes_max {
            true => Err(io::Error::other(format!("it has more than {bytes_max} bytes"))),
            false => Ok(bytes),
        }
    };
    let read = within(path, OPEN_MAX, read).await?;
    read.map_err(|error| unreadable(path, &error))
}

/// The refusal for a file that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::refused(
        Blame::Input,
        format!("cannot read `{}`: {error}", path.display()),
        "name a regular file that the appliance's user may read",
    )
}

/// Runs `work` on a file on a thread of its own and waits for it, at most `max`.
///
/// # Errors
/// [`Error::Refused`] when it takes longer, or when an earlier call for this path still hangs.
pub async fn within<T: Send + 'static>(
    path: &Path,
    max: Duration,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> Result<T, Error> {
    {
        let hung = lock();
        if hung.contains(path) {
            return Err(hangs(path, "an earlier attempt to read it still waits"));
        }
        if hung.len() >= HUNG_CALLS_MAX {
            return Err(hangs(path, "too many other files hang"));
        }
    }
    let (tell, done) = oneshot::channel();
    let path: Arc<Path> = path.into();
    let theirs = Arc::clone(&path);
    std::thread::Builder::new()
        .name("file".into())
        .spawn(move || {
            // The caller may have stopped waiting.
            let _ = tell.send(work(&theirs));
        })
        .map_err(|e| Error::build("a thread for files", e))?;
    let mut done = done;
    match tokio::time::timeout(max, &mut done).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) => Err(Error::build("a thread for files", "it panicked; the log has more")),
        Err(_) => {
            lock().insert(path.to_path_buf());
            let freed = Arc::clone(&path);
            tokio::spawn(async move {
                let _ = done.await;
                lock().remove(&*freed);
            });
            Err(hangs(&path, &format!("reading it takes over {max:?}")))
        }
    }
}

fn lock() -> std::sync::MutexGuard<'static, BTreeSet<PathBuf>> {
    HUNG.lock().ignore_poison()
}

fn hangs(path: &Path, why: &str) -> Error {
    Error::refused(
        Blame::Input,
        format!("`{}` does not answer: {why}", path.display()),
        "look at the mount that it lies on; it is tried again when the system answers",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn fifo(folder: &Path) -> PathBuf {
        let path = folder.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        path
    }

    #[tokio::test]
    async fn only_regular_files_are_read_and_nothing_waits() {
        let folder = tempfile::tempdir().expect("a folder");
        let good = folder.path().join("good");
        std::fs::write(&good, b"12345").expect("written");
        assert_eq!(read(&good, 5).await.expect("read"), b"12345");
        let check = async |path: &Path, expect: &str| {
            let error = read(path, 4).await.expect_err(expect);
            assert!(error.to_string().contains(expect), "{error}");
        };
        check(&good, "more than 4 bytes").await;
        check(&fifo(folder.path()), "not a regular file").await;
        check(folder.path(), "not a regular file").await;
        check(Path::new("/dev/zero"), "not a regular file").await;
        check(&folder.path().join("none"), "No such file").await;
    }

    #[test]
    fn a_link_is_followed_to_its_true_path_and_the_handle_outlives_the_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (good, link) = (folder.path().join("good"), folder.path().join("link"));
        std::fs::write(&good, b"12345").expect("written");
        std::os::unix::fs::symlink(&good, &link).expect("linked");
        let opened = open_regular(&link).expect("opened");
        assert_eq!(opened.path, good.canonicalize().expect("there"));
        std::fs::remove_file(&good).expect("removed");
        assert_eq!(std::fs::read(opened.handle()).expect("still there"), b"12345");
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up_and_has_one_thread_until_it_returns() {
        let path = Path::new("/a/mount/that/hangs");
        let (release, hold) = mpsc::channel::<()>();
        let hang = move |_: &Path| {
            let _ = hold.recv();
        };
        let soon = Duration::from_millis(20);
        let error = within(path, soon, hang).await.expect_err("it hangs");
        assert!(error.to_string().contains("does not answer"), "{error}");
        let again = within(path, soon, |_| panic!("no second thread")).await;
        assert!(again.is_err(), "the first call still hangs");
        within(Path::new("/another"), OPEN_MAX, |_| ()).await.expect("others are not concerned");
        drop(release);
        while lock().contains(path) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        within(path, OPEN_MAX, |_| ()).await.expect("it answers again");
    }
}
