//! The layers as they are written down, and what breaks them.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;

use super::resolve::Edges;
use super::source::{File, Tree};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Packages in layers, the uppermost first.
    packages: Vec<Vec<String>>,
    pub package: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Also that of its folder in the workspace.
    pub name: String,
    /// The files from which its modules are found.
    pub roots: Vec<String>,
    /// The most files that may name one another in a circle; unlimited if it is not given.
    largest_circle: Option<usize>,
    /// Its parts in layers, the uppermost first.
    #[serde(default)]
    layers: Vec<Vec<String>>,
}

impl Rules {
    pub fn parse(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("the layers: {error}"))
    }
}

impl Package {
    /// The part that a file belongs to: that of the longest name. As numbers of its layer and its place there.
    fn part(&self, file: &File) -> Option<(usize, usize)> {
        let sources = Path::new(&self.name).join("src");
        let path = file.path.strip_prefix(&sources).unwrap_or(&file.path).with_extension("");
        let parts = self.layers.iter().enumerate().flat_map(|(layer, parts)| {
            parts.iter().enumerate().map(move |(place, part)| ((layer, place), part))
        });
        parts
            .filter(|(_, part)| path.starts_with(part))
            .max_by_key(|(_, part)| part.len())
            .map(|(place, _)| place)
    }

    fn show(&self, layer: usize) -> String {
        format!("layer {} ({})", layer + 1, self.layers[layer].join(", "))
    }
}

/// All that breaks the rules.
pub fn check(rules: &Rules, tree: &Tree, edges: &Edges) -> Vec<String> {
    let mut problems = packages(rules, tree, edges);
    for package in &rules.package {
        problems.extend(places(package, tree));
        problems.extend(upward(package, tree, edges));
        problems.extend(circles(package, tree, edges));
    }
    problems
}

/// Edges between packages that do not lead to a lower layer.
fn packages(rules: &Rules, tree: &Tree, edges: &Edges) -> Vec<String> {
    let layer = |name: &str| {
        let found = rules.packages.iter().position(|layer| layer.iter().any(|package| package == name));
        found.unwrap_or_else(|| panic!("the package {name} is in no layer"))
    };
    let mut problems = Vec::new();
    for ((from, to), edge) in edges {
        let (from, to) = (&tree.files[*from], &tree.files[*to]);
        if from.package != to.package && layer(&from.package) >= layer(&to.package) {
            problems.push(format!(
                "{}:{}: {} names {}; the package {} is not above the package {}",
                from.path.display(),
                edge.line,
                edge.path,
                to.path.display(),
                from.package,
                to.package
            ));
        }
    }
    problems
}

/// Files without a layer, and parts without a file.
fn places(package: &Package, tree: &Tree) -> Vec<String> {
    if package.layers.is_empty() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut used = HashSet::new();
    for file in tree.files.iter().filter(|file| file.package == package.name) {
        match package.part(file) {
            Some(part) => drop(used.insert(part)),
            None => problems.push(format!(
                "{}: is in no layer of the package {}",
                file.path.display(),
                package.name
            )),
        }
    }
    for (layer, parts) in package.layers.iter().enumerate() {
        for (place, part) in parts.iter().enumerate() {
            if !used.contains(&(layer, place)) {
                problems.push(format!(
                    "the package {} has no file for the part {part} of its layers",
                    package.name
                ));
            }
        }
    }
    problems
}

/// Edges within a package that lead neither to the same part nor to a lower layer.
fn upward(package: &Package, tree: &Tree, edges: &Edges) -> Vec<String> {
    let mut problems = Vec::new();
    for ((from, to), edge) in edges {
        let (from, to) = (&tree.files[*from], &tree.files[*to]);
        if from.package != package.name || to.package != package.name {
            continue;
        }
        let (Some(above), Some(below)) = (package.part(from), package.part(to)) else { continue };
        if above != below && below.0 <= above.0 {
            problems.push(format!(
                "{}:{}: {} names {} in {} from {}",
                from.path.display(),
                edge.line,
                edge.path,
                to.path.display(),
                package.show(below.0),
                package.show(above.0)
            ));
        }
    }
    problems
}

/// Circles of more files than the package allows, each with a line for every edge in it.
fn circles(package: &Package, tree: &Tree, edges: &Edges) -> Vec<String> {
    let Some(limit) = package.largest_circle else { return Vec::new() };
    let mut problems = Vec::new();
    for circle in components(tree.files.len(), edges) {
        if circle.len() <= limit || tree.files[circle[0]].package != package.name {
            continue;
        }
        let mut text = format!("{} files name one another in a circle, at most {limit} may:", circle.len());
        for ((from, to), edge) in edges {
            if circle.contains(from) && circle.contains(to) {
                let (from, to) = (tree.files[*from].path.display(), tree.files[*to].path.display());
                text.push_str(&format!("\n    {from}:{}: {} names {to}", edge.line, edge.path));
            }
        }
        problems.push(text);
    }
    problems
}

/// The strongly connected components of the files (Tarjan), each sorted, those of one file left out.
fn components(files: usize, edges: &Edges) -> Vec<Vec<usize>> {
    struct Walk<'a> {
        edges: &'a Edges,
        /// When a file was first met, and the earliest file on the stack that it leads to.
        met: Vec<Option<usize>>,
        lowest: Vec<usize>,
        stack: Vec<usize>,
        on_stack: Vec<bool>,
        next: usize,
        found: Vec<Vec<usize>>,
    }
    impl Walk<'_> {
        fn visit(&mut self, file: usize) {
            self.met[file] = Some(self.next);
            self.lowest[file] = self.next;
            self.next += 1;
            self.stack.push(file);
            self.on_stack[file] = true;
            let edges = self.edges;
            for (_, to) in edges.range((file, 0)..(file + 1, 0)).map(|(pair, _)| *pair) {
                match self.met[to] {
                    None => {
                        self.visit(to);
                        self.lowest[file] = self.lowest[file].min(self.lowest[to]);
                    }
                    Some(met) if self.on_stack[to] => self.lowest[file] = self.lowest[file].min(met),
                    Some(_) => {}
                }
            }
            if Some(self.lowest[file]) == self.met[file] {
                let start = self.stack.iter().rposition(|other| *other == file).expect("it is on the stack");
                let mut component = self.stack.split_off(start);
                component.iter().for_each(|file| self.on_stack[*file] = false);
                component.sort_unstable();
                if component.len() > 1 {
                    self.found.push(component);
                }
            }
        }
    }
    let mut walk = Walk {
        edges,
        met: vec![None; files],
        lowest: vec![0; files],
        stack: Vec::new(),
        on_stack: vec![false; files],
        next: 0,
        found: Vec::new(),
    };
    for file in 0..files {
        if walk.met[file].is_none() {
            walk.visit(file);
        }
    }
    walk.found.sort();
    walk.found
}
