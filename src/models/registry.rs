//! The known models, and which of them this machine has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::built_in::{BUILT_IN, INCLUDED};
use super::digest::Sha256Hex;
use super::manifest::{self, Manifest, OWN};
use super::part::{LOCK, part_path};
use super::stamp::{Cache, Stamp, look};
use super::task::{Engine, Task};
use super::{Config, Error, config};
use crate::media::Language;

/// All manifests, and the folders of files. Cheap to clone.
///
/// It reads the disk on every call, so models that are pulled meanwhile are found without a
/// restart.
#[derive(Clone, Debug)]
pub struct Registry {
    folders: Arc<[PathBuf]>,
    known: Arc<BTreeMap<String, Arc<Manifest>>>,
    pub(super) mirror: Option<Arc<str>>,
    pub(super) cache: Arc<Cache>,
}

/// A model that is on this machine, with every file of the right size.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its description.
    pub manifest: Arc<Manifest>,
    /// The folder of its files; engines that take a folder get this.
    pub folder: PathBuf,
    /// Its files, in the order of the manifest: the weights first.
    pub paths: Vec<PathBuf>,
    /// First eight digits of the hash of its weights; `unknown` if no hash is known yet.
    pub hash_prefix: String,
    cache: Arc<Cache>,
}

/// How much of a model is on this machine.
#[derive(Clone, Debug)]
pub enum State {
    /// No file of it.
    Missing,
    /// A part of it: an unfinished download.
    Partial {
        /// Folder of the files.
        folder: PathBuf,
        /// Bytes that exist.
        bytes: u64,
    },
    /// A file differs from the manifest; the model is not used.
    Damaged {
        /// Folder of the files.
        folder: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// All files.
    Installed(Installed),
    /// It is part of the program; there is no file.
    Included,
}

impl Registry {
    /// Opens the built-in and the admin's manifests over the folders of the configuration.
    ///
    /// # Errors
    /// If a manifest in the admin's folder cannot be read or is invalid.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let mut registry = Self::over(config.search_order(), config.manifests.as_deref())?;
        registry.mirror = config.mirror.as_deref().map(Into::into);
        Ok(registry)
    }

    /// As [`Self::open`], with these folders regardless of environment and configuration.
    ///
    /// # Errors
    /// If a manifest in the admin's folder cannot be read or is invalid.
    pub fn over(folders: Vec<PathBuf>, manifests: Option<&Path>) -> Result<Self, Error> {
        let mut known = BTreeMap::new();
        for (name, text) in BUILT_IN {
            let manifest = Manifest::parse(Path::new(name), text)?;
            known.insert(manifest.id.clone(), Arc::new(manifest));
        }
        for manifest in manifests.map(manifest::read_folder).transpose()?.into_iter().flatten() {
            known.insert(manifest.id.clone(), Arc::new(manifest));
        }
        let (folders, known) = (folders.into(), Arc::new(known));
        Ok(Self { folders, known, mirror: None, cache: Arc::default() })
    }

    /// The folders in search order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Every manifest by id, including those of an admin's own models.
    pub fn manifests(&self) -> Vec<Arc<Manifest>> {
        let mut all = (*self.known).clone();
        for manifest in self.own().into_iter().flatten() {
            all.entry(manifest.id.clone()).or_insert_with(|| Arc::new(manifest));
        }
        all.into_values().collect()
    }

    /// Errors in manifests of an admin's own models; these models are left out.
    pub fn problems(&self) -> Vec<Error> {
        self.own().into_iter().filter_map(Result::err).collect()
    }

    fn own(&self) -> Vec<Result<Manifest, Error>> {
        let mut found = Vec::new();
        for folder in self.folders.iter() {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for path in entries.flatten().map(|e| e.path()) {
                let file = path.join(OWN);
                if !file.is_file() {
                    continue;
                }
                found.push(manifest::read(&file).and_then(|manifest| {
                    let named = path.file_name().is_some_and(|n| *n == *manifest.id);
                    let message = format!("its folder has to be named `{}`", manifest.id);
                    if named { Ok(manifest) } else { Err(Error::Manifest { path: file, message }) }
                }));
            }
        }
        found
    }

    /// A manifest by its id.
    pub fn find(&self, id: &str) -> Option<Arc<Manifest>> {
        let known = self.known.get(id).cloned();
        known.or_else(|| self.manifests().into_iter().find(|m| m.id == id))
    }

    /// State of a model on this machine, by names, sizes and known hashes.
    pub fn state(&self, manifest: &Arc<Manifest>) -> State {
        if INCLUDED.contains(&&*manifest.id) {
            return State::Included;
        }
        let mut best = State::Missing;
        for folder in self.places(manifest) {
            let state = self.state_in(manifest, &folder);
            match (&best, &state) {
                (_, State::Installed(_)) => return state,
                (State::Missing, _) | (State::Partial { .. }, State::Damaged { .. }) => {
                    best = state;
                }
                _ => {}
            }
        }
        best
    }

    /// Where the files of a model may be: in its own folder, or, if file names identify models,
    /// directly in a models folder, as other programs store them.
    fn places(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let own = self.folders.iter().map(|folder| folder.join(&manifest.id));
        let flat = self.folders.iter().filter(|_| manifest.engine != Engine::Ct2).cloned();
        own.chain(flat).collect()
    }

    pub(super) fn state_in(&self, manifest: &Arc<Manifest>, folder: &Path) -> State {
        let stamp = Stamp::read(folder, &manifest.id);
        let (mut bytes, mut lacking) = (0, false);
        for file in &manifest.files {
            let path = folder.join(&file.name);
            let Ok((size, _)) = look(&path) else {
                bytes += look(&part_path(&path)).map_or(0, |(size, _)| size);
                lacking = true;
                continue;
            };
            bytes += size;
            let expected = file.sha256.as_ref().or_else(|| stamp.pinned.get(&file.name));
            let found = self.cache.get(&path, &file.name, &stamp);
            let why = match (file.size, expected, found) {
                (Some(right), _, _) if right != size => {
                    format!("{} has {size} bytes instead of {right}", file.name)
                }
                (_, Some(right), Some(found)) if *right != found => {
                    format!("{} has sha256 {found} instead of {right}", file.name)
                }
                _ => continue,
            };
            return State::Damaged { folder: folder.to_owned(), why };
        }
        match (lacking, bytes) {
            (true, 0) => State::Missing,
            (true, bytes) => State::Partial { folder: folder.to_owned(), bytes },
            (false, _) => State::Installed(self.installed_in(manifest, folder, &stamp)),
        }
    }

    fn installed_in(&self, manifest: &Arc<Manifest>, folder: &Path, stamp: &Stamp) -> Installed {
        let weights = manifest.files.first();
        let hash = weights.and_then(|file| {
            let known = file.sha256.clone().or_else(|| stamp.pinned.get(&file.name).cloned());
            known.or_else(|| self.cache.get(&folder.join(&file.name), &file.name, stamp))
        });
        Installed {
            manifest: manifest.clone(),
            folder: folder.to_owned(),
            paths: manifest.files.iter().map(|f| folder.join(&f.name)).collect(),
            hash_prefix: hash.map_or("unknown".into(), |h: Sha256Hex| h.prefix().to_owned()),
            cache: self.cache.clone(),
        }
    }

    /// The installed models of a task that know the language, best first: by rank, then by how well
    /// the language matches. `None` for engine or language matches all.
    pub fn installed(
        &self,
        task: Task,
        engine: Option<Engine>,
        language: Option<&Language>,
    ) -> Vec<Installed> {
        let fits = |m: &Arc<Manifest>| {
            m.task == task
                && engine.is_none_or(|e| e == m.engine)
                && language.is_none_or(|l| m.languages.has(l))
        };
        let near = |m: &Manifest| language.map_or(0, |l| m.languages.nearness(l));
        self.best_first(fits, near)
    }

    /// The installed translations from one language into another, best first.
    pub fn translators(&self, from: &Language, into: &Language) -> Vec<Installed> {
        let near = |m: &Manifest| m.into.as_ref().map_or(0, |l| l.nearness(into));
        self.best_first(|m| m.task == Task::Translate && m.translates(from, into), near)
    }

    fn best_first(
        &self,
        fits: impl Fn(&Arc<Manifest>) -> bool,
        near: impl Fn(&Manifest) -> u8,
    ) -> Vec<Installed> {
        let mut found = Vec::new();
        for manifest in self.manifests().iter().filter(|m| fits(m)) {
            if let State::Installed(installed) = self.state(manifest) {
                found.push(installed);
            }
        }
        // A voice of the right region is better than a higher-ranked one of another region.
        let by_language = found.iter().any(|i| i.manifest.task == Task::Tts);
        found.sort_by_key(|i| {
            let (rank, near) = (i.manifest.rank, near(&i.manifest));
            let key = if by_language { (near, rank) } else { (rank, near) };
            std::cmp::Reverse(key)
        });
        found
    }

    /// An installed model by its id, for a task.
    ///
    /// # Errors
    /// If the model is unknown, has another task, is not installed or is damaged.
    pub fn get(&self, id: &str, task: Task) -> Result<Installed, Error> {
        let manifest = self.find(id).ok_or_else(|| Error::Unknown(id.to_owned()))?;
        if manifest.task != task {
            return Err(Error::OtherTask { id: id.to_owned(), is: manifest.task, wanted: task });
        }
        match self.state(&manifest) {
            State::Installed(installed) => Ok(installed),
            State::Missing | State::Partial { .. } => Err(Error::Missing(id.to_owned())),
            State::Included => Err(Error::Included(id.to_owned())),
            State::Damaged { folder, why } => {
                let message = format!("`{id}` in {} is damaged: {why}", folder.display());
                Err(Error::NotRecognised(message))
            }
        }
    }

    /// The folder for new models: the named one, else the first writable one in search order.
    ///
    /// # Errors
    /// If no folder is writable.
    pub fn target(&self, named: Option<&Path>) -> Result<PathBuf, Error> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let found = self.folders.iter().find(|folder| config::writable(folder));
        found.cloned().ok_or_else(|| {
            let all: Vec<_> = self.folders.iter().map(|f| f.display().to_string()).collect();
            Error::Unwritable(all.join(", "))
        })
    }

    /// Deletes a model wherever it is; returns the folders and the number of freed bytes.
    ///
    /// # Errors
    /// If the model is unknown, none of it exists, or a file cannot be deleted.
    pub fn remove(&self, id: &str) -> Result<(Vec<PathBuf>, u64), Error> {
        let manifest = self.find(id).ok_or_else(|| Error::Unknown(id.to_owned()))?;
        let (mut folders, mut freed) = (Vec::new(), 0);
        for folder in self.places(&manifest) {
            if matches!(self.state_in(&manifest, &folder), State::Missing) {
                continue;
            }
            let own = folder.ends_with(id);
            let names = manifest.files.iter().map(|f| folder.join(&f.name));
            let mut paths: Vec<PathBuf> = names.flat_map(|p| [part_path(&p), p]).collect();
            paths.push(Stamp::path(&folder, id));
            if own {
                paths.extend([folder.join(OWN), folder.join(LOCK)]);
            }
            for path in paths.iter().filter(|p| p.exists()) {
                freed += look(path).map_or(0, |(size, _)| size);
                std::fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
            if own {
                // Other files in the folder stay, and so does the folder then.
                let _ = std::fs::remove_dir(&folder);
            }
            folders.push(folder);
        }
        if folders.is_empty() { Err(Error::Missing(id.to_owned())) } else { Ok((folders, freed)) }
    }
}

impl Installed {
    /// Its name in cues: `base.en-q5_1@4baf70dd`.
    pub fn label(&self) -> String {
        let id = &self.manifest.id;
        let short = id.strip_prefix(&format!("{}-", self.manifest.engine)).unwrap_or(id);
        format!("{short}@{}", self.hash_prefix)
    }

    /// Verifies every file before an engine loads it. Files that have not changed since they were
    /// hashed are trusted; others are read completely, which takes seconds for gigabytes.
    ///
    /// # Errors
    /// If a file cannot be read, differs from the manifest, or has no known hash.
    pub fn ready(&self) -> Result<(), Error> {
        self.check(false, &mut |_| ())
    }

    /// Reads and verifies every file completely; `told` is called with the bytes of each step.
    ///
    /// # Errors
    /// As for [`Self::ready`].
    pub fn verify(&self, mut told: impl FnMut(u64)) -> Result<(), Error> {
        self.check(true, &mut told)
    }

    fn check(&self, all: bool, told: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let id = &self.manifest.id;
        let mut stamp = Stamp::read(&self.folder, id);
        let mut outcome = Ok(());
        let mut read = false;
        for (file, path) in self.manifest.files.iter().zip(&self.paths) {
            let known = self.cache.get(path, &file.name, &stamp).filter(|_| !all);
            let found = match known {
                Some(found) => found,
                None => {
                    let seen = self.cache.hash(path, &mut *told)?;
                    stamp.seen.insert(file.name.clone(), seen.clone());
                    read = true;
                    seen.sha256
                }
            };
            let expected = file.sha256.as_ref().or_else(|| stamp.pinned.get(&file.name));
            outcome = match expected {
                Some(expected) if *expected == found => continue,
                Some(expected) => Err(Error::WrongHash {
                    path: path.clone(),
                    expected: expected.to_string(),
                    got: found.to_string(),
                }),
                None => Err(Error::Unpinned { id: id.clone(), file: file.name.clone() }),
            };
            break;
        }
        if read && let Err(error) = stamp.write(&self.folder, id) {
            // The folder may not be writable: then only this process remembers the hash.
            tracing::debug!(%error, model = %id, "the hash is not kept");
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
