//! Reads which files of the workspace name which, and holds that against layers that are written down in TOML.
//!
//! What counts is what the code names: imports and paths, after re-exports, by file. `mod` items do not count, nor does
//! code that is only compiled for tests.
mod resolve;
mod rules;
mod source;

use std::path::Path;

/// All that breaks the layers of the workspace in this folder, one message each, in order.
pub fn problems(workspace: &Path, layers: &str) -> Vec<String> {
    let rules = rules::Rules::parse(layers);
    let mut tree = source::Tree::default();
    for package in &rules.package {
        tree.read_package(workspace, &package.name, &package.roots);
    }
    rules::check(&rules, &tree, &resolve::edges(&tree))
}
