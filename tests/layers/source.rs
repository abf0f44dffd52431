//! What the source files of a workspace import and name, module by module.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, Meta, TraitItem, UseTree};

/// A source file.
pub struct File {
    /// The package it belongs to.
    pub package: String,
    /// Its path from the root of the workspace.
    pub path: PathBuf,
}

/// A module: a file, or a part of one.
pub struct Module {
    pub file: usize,
    pub parent: Option<usize>,
    pub root: usize,
    pub children: HashMap<String, usize>,
    /// What its `use` items bring into scope, by the name that they give it.
    pub imports: HashMap<String, Vec<String>>,
    /// What its `use` items bring into scope as a whole: `use path::*`.
    pub globs: Vec<Vec<String>>,
}

/// A path that a module's code names.
pub struct Mention {
    pub module: usize,
    pub line: usize,
    /// Its segments; `::std::fs` begins with an empty one.
    pub path: Vec<String>,
}

/// All modules of a workspace, and what they name.
#[derive(Default)]
pub struct Tree {
    pub files: Vec<File>,
    pub modules: Vec<Module>,
    pub mentions: Vec<Mention>,
    /// The root modules of libraries, by the name under which other crates know them.
    pub libraries: BTreeMap<String, usize>,
}

impl Tree {
    /// Reads all modules of a package from its roots on, which are paths from its folder.
    pub fn read_package(&mut self, workspace: &Path, name: &str, roots: &[String]) {
        let folder = Path::new(name);
        for root in roots {
            let path = folder.join(root);
            let below = path.parent().expect("a root lies in a folder").to_path_buf();
            let module = self.read_file(workspace, name, path, below, None);
            if root.ends_with("lib.rs") {
                self.libraries.insert(library_name(&workspace.join(folder), name), module);
            }
        }
    }

    /// Reads a file and those of its modules; `below` is the folder of the latter.
    fn read_file(
        &mut self,
        workspace: &Path,
        package: &str,
        path: PathBuf,
        below: PathBuf,
        parent: Option<usize>,
    ) -> usize {
        let shown = path.display();
        let text =
            fs::read_to_string(workspace.join(&path)).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let file = self.files.len();
        self.files.push(File { package: package.to_owned(), path });
        let module = self.add_module(file, parent);
        let mut reader = Reader { tree: self, workspace, package, module, below };
        for item in &syntax.items {
            reader.visit_item(item);
        }
        module
    }

    fn add_module(&mut self, file: usize, parent: Option<usize>) -> usize {
        let module = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            root: parent.map_or(module, |parent| self.modules[parent].root),
            children: HashMap::new(),
            imports: HashMap::new(),
            globs: Vec::new(),
        });
        module
    }
}

/// The name of a package's library: what its manifest says, else that of the package.
fn library_name(folder: &Path, package: &str) -> String {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let manifest: toml::Table =
        manifest.parse().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let given = |table: &str| manifest.get(table)?.get("name")?.as_str().map(str::to_owned);
    given("lib").or_else(|| given("package")).unwrap_or_else(|| package.to_owned()).replace('-', "_")
}

/// Reads what is in one module.
struct Reader<'a> {
    tree: &'a mut Tree,
    workspace: &'a Path,
    package: &'a str,
    module: usize,
    below: PathBuf,
}

impl Reader<'_> {
    fn mention(&mut self, line: usize, path: Vec<String>) {
        self.tree.mentions.push(Mention { module: self.module, line, path });
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |segment: String| {
            let mut path = prefix.to_vec();
            // `a::{self}` is `a`.
            if prefix.is_empty() || segment != "self" {
                path.push(segment);
            }
            path
        };
        let line = tree.span().start().line;
        let (name, path) = match tree {
            UseTree::Path(rest) => return self.import(&rest.tree, &with(rest.ident.to_string())),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.import(tree, prefix)),
            UseTree::Glob(_) => {
                self.tree.modules[self.module].globs.push(prefix.to_vec());
                return self.mention(line, prefix.to_vec());
            }
            UseTree::Name(name) => {
                let path = with(name.ident.to_string());
                (path.last().cloned().unwrap_or_default(), path)
            }
            UseTree::Rename(rename) => (rename.rename.to_string(), with(rename.ident.to_string())),
        };
        self.tree.modules[self.module].imports.insert(name, path.clone());
        self.mention(line, path);
    }

    /// Paths in the body of a macro, which is no syntax yet: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.mention_long(line, std::mem::take(&mut path));
                    }
                    if path.is_empty() {
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.mention_long(line, std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.mention_long(line, path);
    }

    /// One name alone is a local one or imported, and then counted there.
    fn mention_long(&mut self, line: usize, path: Vec<String>) {
        if path.len() > 1 {
            self.mention(line, path);
        }
    }

    fn submodule(&mut self, item: &ItemMod) {
        let name = item.ident.to_string();
        let below = self.below.join(&name);
        let module = if let Some((_, items)) = &item.content {
            let module = self.tree.add_module(self.tree.modules[self.module].file, Some(self.module));
            let mut reader =
                Reader { tree: self.tree, workspace: self.workspace, package: self.package, module, below };
            items.iter().for_each(|item| reader.visit_item(item));
            module
        } else {
            let (beside, within) = (self.below.join(format!("{name}.rs")), below.join("mod.rs"));
            let path = match path_attribute(&item.attrs) {
                Some(path) => self.below.join(path),
                None if self.workspace.join(&beside).exists() => beside,
                None => within,
            };
            self.tree.read_file(self.workspace, self.package, path, below, Some(self.module))
        };
        self.tree.modules[self.module].children.insert(name, module);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !matches!(item, TraitItem::Fn(item) if for_tests(&item.attrs)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.submodule(item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let prefix: &[String] = if item.leading_colon.is_some() { &[String::new()] } else { &[] };
        self.import(&item.tree, prefix);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_some() {
            segments.insert(0, String::new());
        }
        self.mention_long(path.span().start().line, segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    // Who may see an item, and what its attributes say, names no code that it needs.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether code is only compiled for tests: `#[cfg(test)]`, also beside other conditions.
fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let words = list.tokens.to_string();
            let words: Vec<&str> =
                words.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
            words.contains(&"test") && !words.contains(&"not") && !words.contains(&"any")
        }
        _ => false,
    })
}

/// Where the file of a module is, if `#[path]` says so.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident("path")).map(|attribute| {
        match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => text.value(),
                _ => panic!("a path that is no text"),
            },
            _ => panic!("a path without a value"),
        }
    })
}
