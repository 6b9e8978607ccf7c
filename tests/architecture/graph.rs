//! The graph of modules: which file imports from which, read from `use` lines and paths.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{File, Item, ItemMod, ItemUse, UseTree};

/// The names of a module from the root of its crate; the root's is empty.
type ModulePath = Vec<String>;

/// The modules of a crate that have files, without tests.
pub(crate) struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    /// The file, from the repository.
    file: String,
    syntax: File,
    /// The modules that it declares.
    children: BTreeSet<String>,
    /// The names that its `use` lines bring in, each with its path from the root of the crate.
    imports: HashMap<String, ModulePath>,
}

impl Crate {
    /// Reads a crate from the file of its root module.
    pub(crate) fn read(repository: &Path, root: &str) -> Self {
        let mut modules = BTreeMap::new();
        let mut open = vec![(ModulePath::new(), root.to_owned())];
        while let Some((path, file)) = open.pop() {
            let text = super::read(&repository.join(&file));
            let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let folder = if path.is_empty() {
                file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
            } else {
                file.trim_end_matches(".rs").to_owned()
            };
            let mut children = BTreeSet::new();
            for item in &syntax.items {
                let Item::Mod(child) = item else { continue };
                if child.content.is_some() || is_for_tests(&child.attrs) {
                    continue;
                }
                let name = child.ident.to_string();
                open.push(([path.clone(), vec![name.clone()]].concat(), format!("{folder}/{name}.rs")));
                children.insert(name);
            }
            modules.insert(path, Module { file, syntax, children, imports: HashMap::new() });
        }
        let mut read = Self { modules };
        let imports: Vec<_> = read.modules.keys().map(|path| (path.clone(), read.imports(path))).collect();
        for (path, imports) in imports {
            if let Some(module) = read.modules.get_mut(&path) {
                module.imports = imports;
            }
        }
        read
    }

    fn imports(&self, of: &ModulePath) -> HashMap<String, ModulePath> {
        let mut imports = HashMap::new();
        for item in &self.modules[of].syntax.items {
            if let Item::Use(item) = item
                && !is_for_tests(&item.attrs)
            {
                for (path, name) in leaves(item) {
                    if let Some(absolute) = self.absolute(of, &path) {
                        imports.insert(name, absolute);
                    }
                }
            }
        }
        imports
    }

    /// A path as it stands in a module, from the root of the crate. `None`: it leads out of the crate, or to a local name.
    fn absolute(&self, of: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => of.clone(),
            "super" => of.split_last()?.1.to_vec(),
            name if self.modules[of].children.contains(name) => [of.clone(), vec![name.to_owned()]].concat(),
            name => self.modules[of].imports.get(name)?.clone(),
        };
        for name in rest {
            if name == "super" {
                base.pop()?;
            } else if name != "self" {
                base.push(name.clone());
            }
        }
        Some(base)
    }

    /// The module in which what a path names is defined: a re-export is followed. `None` for a module itself.
    fn home(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        let known = (0..=path.len()).rev().find(|&n| self.modules.contains_key(&path[..n]))?;
        let (module, rest) = path.split_at(known);
        let next = rest.first()?;
        match self.modules[module].imports.get(next) {
            Some(target) if depth < 8 => self.home(&[target.clone(), rest[1..].to_vec()].concat(), depth + 1),
            _ => Some(module.to_vec()),
        }
    }
}

/// Files and the imports between them.
pub(crate) struct Graph {
    paths: Vec<ModulePath>,
    files: Vec<String>,
    targets: Vec<BTreeSet<usize>>,
}

impl Graph {
    /// The graph of a crate.
    pub(crate) fn of(all: &Crate) -> Self {
        let paths: Vec<_> = all.modules.keys().cloned().collect();
        let files = all.modules.values().map(|module| module.file.clone()).collect();
        let index = |path: &ModulePath| paths.iter().position(|other| other == path);
        let targets = paths
            .iter()
            .map(|path| {
                let mut uses = Uses { all, path, homes: BTreeSet::new() };
                uses.visit_file(&all.modules[path].syntax);
                uses.homes.iter().filter(|home| *home != path).filter_map(index).collect()
            })
            .collect();
        Self { paths, files, targets }
    }

    /// Every import: who, and from whom.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        self.targets.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)))
    }

    /// The file of a module, from the repository.
    pub(crate) fn file(&self, index: usize) -> &str {
        &self.files[index]
    }

    /// The folder of the crate that a module is in. `None` for the root.
    pub(crate) fn folder(&self, index: usize) -> Option<&str> {
        self.paths[index].first().map(String::as_str)
    }

    /// The sets of files from each of which imports lead to each other.
    pub(crate) fn circles(&self) -> Vec<Vec<usize>> {
        let reach: Vec<BTreeSet<usize>> = (0..self.files.len()).map(|from| self.reachable(from)).collect();
        let mut circles = BTreeSet::new();
        for from in 0..self.files.len() {
            let circle: Vec<_> =
                reach[from].iter().copied().filter(|to| reach[*to].contains(&from)).collect();
            if !circle.is_empty() {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }

    fn reachable(&self, from: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<usize> = self.targets[from].iter().copied().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(&self.targets[next]);
            }
        }
        reached
    }

    /// A circle, with the imports that close it.
    pub(crate) fn describe(&self, circle: &[usize]) -> String {
        let mut text = format!("circle of {}:", circle.len());
        for &from in circle {
            let to = self.targets[from].iter().filter(|to| circle.contains(to));
            let to: Vec<_> = to.map(|to| self.file(*to)).collect();
            text += &format!("\n  {} imports {}", self.file(from), to.join(", "));
        }
        text
    }
}

/// Collects the homes of all that a file names.
struct Uses<'a> {
    all: &'a Crate,
    path: &'a ModulePath,
    homes: BTreeSet<ModulePath>,
}

impl Uses<'_> {
    fn note(&mut self, path: &[String]) {
        if let Some(absolute) = self.all.absolute(self.path, path) {
            self.homes.extend(self.all.home(&absolute, 0));
        }
    }
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // A re-export is not an import: who uses the name imports from its home.
        if matches!(item.vis, syn::Visibility::Inherited) {
            for (path, _) in leaves(item) {
                self.note(&path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 && path.leading_colon.is_none() {
            let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // Names in a module within the file are relative to it; those that are not tests are rare and small.
        if item.content.is_none() {
            visit::visit_item_mod(self, item);
        }
    }
}

/// The paths that a `use` item brings in, each with the name that it gets here.
fn leaves(item: &ItemUse) -> Vec<(Vec<String>, String)> {
    fn walk(tree: &UseTree, before: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
        let with = |name: String| [before.to_vec(), vec![name]].concat();
        match tree {
            UseTree::Path(path) => walk(&path.tree, &with(path.ident.to_string()), leaves),
            UseTree::Name(name) if name.ident == "self" => {
                leaves.push((before.to_vec(), before.last().cloned().unwrap_or_default()));
            }
            UseTree::Name(name) => leaves.push((with(name.ident.to_string()), name.ident.to_string())),
            UseTree::Rename(name) => leaves.push((with(name.ident.to_string()), name.rename.to_string())),
            UseTree::Glob(_) => leaves.push((with("*".to_owned()), "*".to_owned())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, before, leaves)),
        }
    }
    let mut found = Vec::new();
    walk(&item.tree, &[], &mut found);
    found
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}
