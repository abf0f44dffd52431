//! From paths in code to the files that define what they name.

use std::collections::{BTreeMap, HashSet};

use super::source::Tree;

/// That one file names another: where first, and by which path.
pub struct Edge {
    pub line: usize,
    pub path: String,
}

/// Which file names which, by their numbers.
pub type Edges = BTreeMap<(usize, usize), Edge>;

/// Which files name which, each pair with the first line that does.
pub fn edges(tree: &Tree) -> Edges {
    let mut edges = Edges::new();
    for mention in &tree.mentions {
        let Some(module) = resolve(tree, mention.module, &mention.path) else { continue };
        let (from, to) = (tree.modules[mention.module].file, tree.modules[module].file);
        if from == to {
            continue;
        }
        let edge = Edge { line: mention.line, path: mention.path.join("::") };
        let first = edges.entry((from, to)).or_insert(Edge { line: usize::MAX, path: String::new() });
        if edge.line < first.line {
            *first = edge;
        }
    }
    edges
}

/// The module that defines what a path in a module's code names; none if no file of the workspace does.
fn resolve(tree: &Tree, module: usize, path: &[String]) -> Option<usize> {
    Search { tree, seen: HashSet::new() }.path(module, path)
}

struct Search<'a> {
    tree: &'a Tree,
    /// Names that are being looked up, each in a module: `use a::a;` must not go round in circles.
    seen: HashSet<(usize, String)>,
}

impl Search<'_> {
    fn path(&mut self, module: usize, path: &[String]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let here = &self.tree.modules[module];
        let start = match first.as_str() {
            "crate" => Some(here.root),
            "self" => Some(module),
            "super" => here.parent,
            // `::name`.
            "" => return self.library(rest),
            name => match self.name(module, name) {
                Some(found) => Some(found),
                None => return self.library(path),
            },
        };
        self.walk(start?, rest)
    }

    fn library(&mut self, path: &[String]) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let root = *self.tree.libraries.get(first)?;
        self.walk(root, rest)
    }

    /// Follows the rest of a path as far as it names modules.
    fn walk(&mut self, mut module: usize, path: &[String]) -> Option<usize> {
        for segment in path {
            if segment == "super" {
                module = self.tree.modules[module].parent?;
            } else if let Some(next) = self.name(module, segment) {
                module = next;
            } else {
                break;
            }
        }
        Some(module)
    }

    /// The module that defines what a name means in a module, if it is not that module itself.
    fn name(&mut self, module: usize, name: &str) -> Option<usize> {
        let here = &self.tree.modules[module];
        if let Some(child) = here.children.get(name) {
            return Some(*child);
        }
        let key = (module, name.to_owned());
        if !self.seen.insert(key.clone()) {
            return None;
        }
        let found = here.imports.get(name).and_then(|path| self.path(module, path)).or_else(|| {
            here.globs.iter().find_map(|path| {
                let from = self.path(module, path)?;
                (from != module).then(|| self.name(from, name)).flatten()
            })
        });
        self.seen.remove(&key);
        found
    }
}
