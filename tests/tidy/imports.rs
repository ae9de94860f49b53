//! Which file uses which, read from the source with `syn`.
//!
//! A re-export (`pub use child::Name`) is no use: a file that imports the name depends on the file that
//! defines it. Code under `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// For each file the files that it uses, each with the names that it uses from there. Paths are
/// relative to `src`.
pub(crate) type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Longest chain of re-exports that is followed.
const REEXPORTS_MAX: usize = 16;

/// One module: its file, and what its names stand for.
struct Module {
    file: String,
    path: Vec<String>,
    items: Vec<Item>,
    /// Names from `use`, with the paths that they stand for.
    aliases: BTreeMap<String, Vec<String>>,
}

/// All modules by path: `["flow", "feed"]`. The crate's root has the empty path.
type Modules = BTreeMap<Vec<String>, Module>;

/// The imports of all files below `src`, beginning at `lib.rs` and `main.rs`.
pub(crate) fn of(src: &Path) -> Imports {
    let mut modules = Modules::new();
    read(src, &src.join("lib.rs"), Vec::new(), &mut modules);
    let mut imports = Imports::new();
    for module in modules.values() {
        let uses = imports.entry(module.file.clone()).or_default();
        let mut paths = Paths::default();
        module.items.iter().for_each(|item| paths.visit_item(item));
        for path in paths.found {
            let Some((file, name)) = resolve(&modules, &module.path, &path, 0) else { continue };
            if file != module.file {
                uses.entry(file).or_default().insert(name);
            }
        }
    }
    imports
}

/// Reads a file and the files of its modules.
fn read(src: &Path, file: &Path, path: Vec<String>, modules: &mut Modules) {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    add(src, file, path, parsed.items, modules);
}

fn add(src: &Path, file: &Path, path: Vec<String>, items: Vec<Item>, modules: &mut Modules) {
    let mut own = Vec::new();
    let mut aliases = BTreeMap::new();
    for item in items {
        match item {
            _ if is_for_tests(attributes(&item)) => {}
            Item::Mod(child) => {
                let mut below = path.clone();
                below.push(child.ident.to_string());
                match child.content {
                    Some((_, items)) => add(src, file, below, items, modules),
                    None => read(src, &file_of(file, &child), below, modules),
                }
            }
            Item::Use(used) => {
                names(&used.tree, &mut Vec::new(), &mut |name, path| {
                    aliases.insert(name, path);
                });
                if matches!(used.vis, Visibility::Inherited) {
                    own.push(Item::Use(used));
                }
            }
            item => own.push(item),
        }
    }
    let file = file.strip_prefix(src).unwrap_or(file).display().to_string();
    modules.insert(path.clone(), Module { file, path, items: own, aliases });
}

/// The file of `mod child;`.
fn file_of(parent: &Path, child: &syn::ItemMod) -> PathBuf {
    let folder = parent.parent().expect("a file is in a folder");
    let named = child.attrs.iter().find(|a| a.path().is_ident("path"));
    if let Some(syn::Meta::NameValue(given)) = named.map(|a| &a.meta)
        && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. }) = &given.value
    {
        return folder.join(name.value());
    }
    let stem = parent.file_stem().unwrap_or_default();
    let own = ["lib", "main", "mod"].iter().any(|name| stem == *name);
    let folder = if own { folder.to_owned() } else { folder.join(stem) };
    let name = child.ident.to_string();
    let flat = folder.join(format!("{name}.rs"));
    if flat.exists() { flat } else { folder.join(name).join("mod.rs") }
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.starts_with("all (test")
        }
        _ => false,
    })
}

/// Calls `each` with every name that a `use` brings in, and its path.
fn names(tree: &UseTree, before: &mut Vec<String>, each: &mut impl FnMut(String, Vec<String>)) {
    let with = |last: String, before: &[String]| [before, &[last]].concat();
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            names(&path.tree, before, each);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            let name = before.last().cloned().unwrap_or_default();
            each(name, before.clone());
        }
        UseTree::Name(name) => {
            each(name.ident.to_string(), with(name.ident.to_string(), before));
        }
        UseTree::Rename(name) => {
            each(name.rename.to_string(), with(name.ident.to_string(), before));
        }
        UseTree::Glob(_) => each(format!("{}::*", before.join("::")), before.clone()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, before, each)),
    }
}

/// All paths of a piece of code.
#[derive(Default)]
struct Paths {
    found: BTreeSet<Vec<String>>,
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    /// `pub(super)` uses nothing.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_item_use(&mut self, used: &'a ItemUse) {
        names(&used.tree, &mut Vec::new(), &mut |_, path| {
            self.found.insert(path);
        });
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.found.insert(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// The arguments of a macro are not parsed: every `a::b::c` in them counts.
    ///
    /// A GLib object and its implementation are one thing: `glib::wrapper!` binds them.
    fn visit_macro(&mut self, called: &'a syn::Macro) {
        if called.path.segments.last().is_some_and(|name| name.ident == "wrapper") {
            return;
        }
        visit::visit_macro(self, called);
        let text = called.tokens.to_string().replace(" :: ", "::");
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in text.split(|c| !is_path(c)) {
            let path: Vec<String> = word.split("::").map(str::to_owned).collect();
            if path.iter().all(|part| !part.is_empty() && !part.contains(':')) {
                self.found.insert(path);
            }
        }
    }
}

/// The file that defines what a path names in a module, and the name; `None` if it is outside.
fn resolve(
    modules: &Modules,
    from: &[String],
    path: &[String],
    depth: usize,
) -> Option<(String, String)> {
    let mut at = from.to_vec();
    let mut absolute = false;
    for (index, part) in path.iter().enumerate() {
        match part.as_str() {
            "crate" => (at, absolute) = (Vec::new(), true),
            "self" => absolute = true,
            "super" => {
                at.pop()?;
                absolute = true;
            }
            name => {
                let mut below = at.clone();
                below.push(name.to_owned());
                if modules.contains_key(&below) {
                    (at, absolute) = (below, true);
                    continue;
                }
                let module = modules.get(&at)?;
                let Some(alias) = module.aliases.get(name).filter(|_| depth < REEXPORTS_MAX) else {
                    return absolute.then(|| (module.file.clone(), name.to_owned()));
                };
                // `use name::…` of a crate with the same name as what it brings in.
                if alias == path {
                    return None;
                }
                let rest = &path[index + 1..];
                return resolve(modules, &at, &[&alias[..], rest].concat(), depth + 1);
            }
        }
    }
    // The module itself: what is used of it is found where it is used.
    None
}

/// Groups of files that use each other, directly or through others.
pub(crate) fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|file| (file, reachable(imports, file))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for file in imports.keys().filter(|file| reached[file].contains(file)) {
        if !found.iter().any(|circle| circle.contains(file)) {
            let both =
                |other: &&String| reached[file].contains(other) && reached[other].contains(file);
            found.push(imports.keys().filter(both).cloned().collect());
        }
    }
    found
}

fn reachable<'a>(imports: &'a Imports, file: &String) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = imports[file].keys().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(imports[file].keys());
        }
    }
    found
}
