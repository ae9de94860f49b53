//! Files inside Python packages: wheels, which are zip files. A path like `folder/x.whl/inside/y`
//! names the file `inside/y` of the wheel `folder/x.whl`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::Error;
use super::digest::READ_BYTES;
use super::part::{Part, part_path};

/// Whether a file is a wheel, by its name.
pub(super) fn is_wheel(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "whl") && path.is_file()
}

/// Opens a file, or a file inside a wheel, and lets `take` read it.
///
/// # Errors
/// If it is not there or cannot be read, and those of `take`.
pub(super) fn read<T>(
    path: &Path,
    take: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let wheel = path.ancestors().skip(1).find(|ancestor| is_wheel(ancestor));
    let inside = wheel.and_then(|wheel| path.strip_prefix(wheel).ok()?.to_str());
    let Some((wheel, inside)) = wheel.zip(inside) else {
        return take(&mut File::open(path).map_err(Error::io("read", path))?);
    };
    let failed = |error: zip::result::ZipError| Error::io("read", path)(io::Error::other(error));
    let mut archive = open(wheel)?;
    let member = archive.by_name(inside).map_err(failed)?;
    // A zip bomb ends at the size that the archive itself names.
    let size = member.size();
    take(&mut member.take(size))
}

/// Copies a file, or a file inside a wheel, to `target`, which gets its name when the part is
/// finished. `told` is called with the bytes of each step.
///
/// # Errors
/// If the source cannot be read, or the copy cannot be written.
pub(super) fn copy(source: &Path, target: &Path, told: &mut dyn FnMut(u64)) -> Result<Part, Error> {
    read(source, |from| {
        let mut part = Part::open(target, false)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(part),
                Ok(count) => {
                    part = part.write(&buffer[..count]).inspect_err(|_| {
                        // A partial copy is useless: the source still exists.
                        let _ = std::fs::remove_file(part_path(target));
                    })?;
                    told(count as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", source)(e)),
            }
        }
    })
}

/// Every file inside a wheel, with its size.
///
/// # Errors
/// If it is no zip file or cannot be read.
pub(super) fn members(wheel: &Path) -> Result<Vec<(PathBuf, u64)>, Error> {
    let mut archive = open(wheel)?;
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index);
        let member = member.map_err(|e| Error::io("read", wheel)(io::Error::other(e)))?;
        if member.is_file()
            && let Some(inside) = member.enclosed_name()
        {
            found.push((wheel.join(inside), member.size()));
        }
    }
    Ok(found)
}

fn open(wheel: &Path) -> Result<ZipArchive<File>, Error> {
    let file = File::open(wheel).map_err(Error::io("read", wheel))?;
    ZipArchive::new(file).map_err(|e| Error::io("read", wheel)(io::Error::other(e)))
}
