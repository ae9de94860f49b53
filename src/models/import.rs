//! Models from a folder, a USB stick or another program, for machines without internet.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::{self, Sha256Hex};
use super::manifest::{self, File, Languages, Licence, Manifest, OWN};
use super::part::{Hold, make_room, sync_folder};
use super::registry::{Installed, Registry, State};
use super::stamp::{Stamp, look};
use super::task::{Engine, Task};
use super::{Error, wheel};

/// Greatest depth of folders that are searched.
const FOLDER_LEVELS_MAX: usize = 6;

/// Most files that are examined.
const FILES_MAX: usize = 20_000;

/// Files in which a model was recognised.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The model.
    pub manifest: Arc<Manifest>,
    /// Path of each file of the manifest, in its order; `None` if not found.
    pub sources: Vec<Option<PathBuf>>,
}

impl Recognised {
    /// Names of the files that were not found.
    pub fn lacking(&self) -> Vec<&str> {
        let files = self.manifest.files.iter().zip(&self.sources);
        files.filter(|(_, source)| source.is_none()).map(|(file, _)| file.name.as_str()).collect()
    }
}

/// A file that may belong to a model.
struct Found {
    path: PathBuf,
    name: String,
    sha256: Sha256Hex,
}

/// Searches a file or folder for models, by the hash of the weights, whatever their file names.
/// Reads only files of a known size or name. `told` is called with the bytes of each step.
///
/// # Errors
/// If nothing is recognised, a file has the name of known weights but another hash, or a file
/// cannot be read.
pub fn recognise(
    registry: &Registry,
    place: &Path,
    mut told: impl FnMut(u64),
) -> Result<Vec<Recognised>, Error> {
    let manifests = registry.manifests();
    let found = read_likely(&manifests, place, &mut told)?;
    let mut recognised = Vec::new();
    for manifest in &manifests {
        let Some(weights) = manifest.files.first() else { continue };
        let by_hash = |wanted: &File| {
            let hash = wanted.sha256.as_ref()?;
            found.iter().find(|f| f.sha256 == *hash)
        };
        let Some(home) = by_hash(weights).and_then(|f| f.path.parent()) else { continue };
        let source = |file: &File| {
            let beside = |f: &&Found| {
                file.sha256.is_none() && f.name == file.name && f.path.parent() == Some(home)
            };
            by_hash(file).or_else(|| found.iter().find(beside)).map(|f| f.path.clone())
        };
        let sources = manifest.files.iter().map(source).collect();
        recognised.push(Recognised { manifest: manifest.clone(), sources });
    }
    if recognised.is_empty() {
        return Err(misnamed(&manifests, &found).unwrap_or_else(|| {
            let place = place.display();
            Error::NotRecognised(format!(
                "no known model is in {place}; a model of your own is imported with --as ID --task \
                 TASK --engine ENGINE --language LANGUAGE"
            ))
        }));
    }
    Ok(recognised)
}

/// The error for a file with the name of known weights, but another hash.
fn misnamed(manifests: &[Arc<Manifest>], found: &[Found]) -> Option<Error> {
    let mut by_name: BTreeMap<&str, Vec<&File>> = BTreeMap::new();
    for file in manifests.iter().filter_map(|m| m.files.first()) {
        by_name.entry(&file.name).or_default().push(file);
    }
    found.iter().find_map(|f| match by_name.get(f.name.as_str()).map(Vec::as_slice) {
        // A name that several models use (`model.bin`) identifies none.
        Some([only]) => Some(Error::WrongHash {
            path: f.path.clone(),
            expected: only.sha256.as_ref()?.to_string(),
            got: f.sha256.to_string(),
        }),
        _ => None,
    })
}

fn read_likely(
    manifests: &[Arc<Manifest>],
    place: &Path,
    told: &mut impl FnMut(u64),
) -> Result<Vec<Found>, Error> {
    let files = || manifests.iter().flat_map(|m| &m.files);
    let sizes: BTreeSet<u64> = files().filter_map(|f| f.size).collect();
    let names: BTreeSet<&str> = files().map(|f| f.name.as_str()).collect();
    let mut found = Vec::new();
    for (path, size) in with_sizes(walk(place)?)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if sizes.contains(&size) || names.contains(name.as_str()) {
            let hash = |from: &mut dyn Read| digest::of_reader(from, &path, &mut *told);
            let sha256 = wheel::read(&path, hash)?;
            found.push(Found { path, name, sha256 });
        }
    }
    Ok(found)
}

/// Files with their sizes; in place of a wheel the files inside.
fn with_sizes(paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, u64)>, Error> {
    let mut sized = Vec::new();
    for path in paths {
        if wheel::is_wheel(&path) {
            sized.extend(wheel::members(&path)?);
        } else {
            let (size, _) = look(&path).map_err(Error::io("read", &path))?;
            sized.push((path, size));
        }
    }
    Ok(sized)
}

/// The files below a place, in order.
fn walk(place: &Path) -> Result<Vec<PathBuf>, Error> {
    if std::fs::metadata(place).map_err(Error::io("read", place))?.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![(place.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // USB sticks have folders such as `lost+found` that only root may read.
            Err(error) if depth > 0 => {
                tracing::debug!(%error, folder = %folder.display(), "not looked into");
                continue;
            }
            Err(error) => return Err(Error::io("read", &folder)(error)),
        };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() && depth < FOLDER_LEVELS_MAX {
                folders.push((path, depth + 1));
            } else if path.is_file() {
                files.push(path);
            }
            if files.len() > FILES_MAX {
                let message = format!(
                    "{} has more than {FILES_MAX} files; name the folder of the model",
                    place.display()
                );
                return Err(Error::NotRecognised(message));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies a recognised model into a models folder. Each file gets its final name only when the
/// copy's hash is right. `told` is called with the bytes of each step.
///
/// # Errors
/// If files are missing, one has no published hash and `trust` is false, the disk is too small, or
/// a copy differs from the manifest.
pub fn import(
    registry: &Registry,
    recognised: &Recognised,
    to: Option<&Path>,
    trust: bool,
    mut told: impl FnMut(u64),
) -> Result<Installed, Error> {
    let manifest = &recognised.manifest;
    let lacking = recognised.lacking();
    if !lacking.is_empty() {
        let message = format!("`{}` is not complete: it lacks {}", manifest.id, lacking.join(", "));
        return Err(Error::NotRecognised(message));
    }
    if let Some(file) = manifest.files.iter().find(|f| f.sha256.is_none() && !trust) {
        return Err(Error::Unpinned { id: manifest.id.clone(), file: file.name.clone() });
    }
    let folder = registry.target(to)?.join(&manifest.id);
    let pairs: Vec<(&File, &PathBuf)> = manifest
        .files
        .iter()
        .zip(&recognised.sources)
        .filter_map(|(file, source)| Some((file, source.as_ref()?)))
        .collect();
    let size_of =
        |file: &File, source: &Path| look(source).map_or(file.size, |(size, _)| Some(size));
    let size = pairs.iter().filter_map(|(file, source)| size_of(file, source)).sum();
    make_room(&folder, size)?;
    let _hold = Hold::take(&folder)?;
    let mut stamp = Stamp::read(&folder, &manifest.id);
    for (file, source) in pairs {
        let target = folder.join(&file.name);
        let part = wheel::copy(source, &target, &mut told)?;
        let seen = part.finish(file.size, file.sha256.as_ref())?;
        if file.sha256.is_none() {
            stamp.pinned.insert(file.name.clone(), seen.sha256.clone());
        }
        stamp.seen.insert(file.name.clone(), seen);
    }
    stamp.write(&folder, &manifest.id)?;
    match registry.state_in(manifest, &folder) {
        State::Installed(installed) => Ok(installed),
        _ => Err(Error::Missing(manifest.id.clone())),
    }
}

/// An admin's description of a model without a manifest.
#[derive(Clone, Debug)]
pub struct Own {
    /// Id of the model.
    pub id: String,
    /// Task of the model.
    pub task: Task,
    /// Engine that runs the model.
    pub engine: Engine,
    /// Languages that it hears or speaks, or translates from.
    pub languages: Languages,
    /// Languages that it translates into.
    pub into: Option<Languages>,
    /// Its licence; `None`: unknown.
    pub licence: Option<String>,
    /// Whether it may be used commercially.
    pub commercial: bool,
}

/// Copies a model without a manifest, from a file or the files of one folder, and writes a manifest
/// beside it, with the current hashes. `told` is called with the bytes of each step.
///
/// # Errors
/// If the id is taken or the description is invalid; else as for [`import`].
pub fn import_own(
    registry: &Registry,
    place: &Path,
    own: Own,
    to: Option<&Path>,
    mut told: impl FnMut(u64),
) -> Result<Installed, Error> {
    let field = |field, message: String| Error::Own { field, message };
    if !manifest::is_id(&own.id) {
        let message = format!("`{}` is not an id: use 1-64 of a-z A-Z 0-9 . _ -", own.id);
        return Err(field("as", message));
    }
    if registry.find(&own.id).is_some() {
        return Err(field("as", format!("`{}` is there already; take another id", own.id)));
    }
    let sources = own_files(place)?;
    let mut manifest = Manifest {
        title: format!("{}, imported", own.id),
        id: own.id,
        task: own.task,
        engine: own.engine,
        languages: own.languages,
        into: own.into,
        // An imported model of one's own is preferred to all others.
        rank: 100,
        licence: Licence {
            spdx: own.licence.unwrap_or_else(|| "LicenseRef-unknown".into()),
            commercial: own.commercial,
            source: Some("as told at the import".into()),
            note: None,
        },
        memory: None,
        speed: None,
        default: false,
        needs: Vec::new(),
        files: Vec::new(),
    };
    manifest.check_head().map_err(|message| field("task", message))?;
    let folder = registry.target(to)?.join(&manifest.id);
    make_room(&folder, sources.iter().map(|(_, size, _)| size).sum())?;
    let _hold = Hold::take(&folder)?;
    let mut stamp = Stamp::default();
    for (name, _, source) in &sources {
        let seen = wheel::copy(source, &folder.join(name), &mut told)?.finish(None, None)?;
        manifest.files.push(File {
            name: name.clone(),
            size: Some(seen.size),
            sha256: Some(seen.sha256.clone()),
            url: None,
            package: None,
            source: Some(format!("hashed when it was imported from {}", source.display())),
        });
        stamp.seen.insert(name.clone(), seen);
    }
    stamp.write(&folder, &manifest.id)?;
    let path = folder.join(OWN);
    let text = toml::to_string_pretty(&manifest).map_err(|e| field("as", e.to_string()))?;
    // Makes sure that the manifest can be read again.
    let manifest = Arc::new(Manifest::parse(&path, &text)?);
    let half = folder.join(format!("{OWN}.new"));
    std::fs::write(&half, text).map_err(Error::io("write", &half))?;
    std::fs::rename(&half, &path).map_err(Error::io("rename", &half))?;
    sync_folder(&folder)?;
    match registry.state_in(&manifest, &folder) {
        State::Installed(installed) => Ok(installed),
        _ => Err(Error::Missing(manifest.id.clone())),
    }
}

/// Name, size and path of the files of an admin's own model, the largest first: the weights.
fn own_files(place: &Path) -> Result<Vec<(String, u64, PathBuf)>, Error> {
    let paths = match std::fs::metadata(place).map_err(Error::io("read", place))?.is_file() {
        true => vec![place.to_owned()],
        false => {
            let entries = std::fs::read_dir(place).map_err(Error::io("read", place))?;
            entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect()
        }
    };
    let mut files = Vec::new();
    for path in paths {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') && path != place {
            continue;
        }
        if !manifest::is_id(&name) {
            let message = format!(
                "{} cannot be the name of a model's file: use 1-64 of a-z A-Z 0-9 . _ -",
                path.display()
            );
            return Err(Error::NotRecognised(message));
        }
        let (size, _) = look(&path).map_err(Error::io("read", &path))?;
        files.push((name, size, path));
    }
    if files.is_empty() {
        return Err(Error::NotRecognised(format!("{} has no files", place.display())));
    }
    files.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(files)
}

#[cfg(test)]
mod tests;
