//! The code is layered as `layers.toml` says, and this test notices when it is not.

mod layers;

use std::fs;
use std::path::Path;

use traincheck_tests::{folder, repository};

#[test]
fn in_the_workspace() {
    let layers = fs::read_to_string(repository().join("tests/layers.toml")).expect("tests/layers.toml");
    let problems = layers::problems(&repository(), &layers);
    assert!(problems.is_empty(), "{} problems with the layers:\n{}", problems.len(), problems.join("\n"));
}

/// A workspace of two packages, one of which is layered `top`, `middle` and `side`, `bottom`.
const LAYERS: &str = r#"
    packages = [["app"], ["base"]]
    [[package]]
    name = "app"
    roots = ["src/lib.rs"]
    largest_circle = 2
    layers = [["lib"], ["top"], ["middle", "side"], ["bottom"]]
    [[package]]
    name = "base"
    roots = ["src/lib.rs"]
"#;

/// The problems of a workspace made of these files.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let temporary = folder();
    let whole = [
        ("app/src/lib.rs", "mod top; mod middle; mod side; mod bottom;"),
        ("app/src/top.rs", "pub struct Top; impl Top { pub fn new() {} }"),
        ("app/src/middle/mod.rs", "pub mod inner;"),
        ("app/src/middle/inner.rs", "pub struct Inner;"),
        ("app/src/side.rs", "pub struct Side;"),
        ("app/src/bottom.rs", "pub struct Bottom;"),
        ("base/src/lib.rs", "pub mod thing;"),
        ("base/src/thing.rs", "pub struct Thing;"),
    ];
    for (path, text) in whole.iter().chain(files) {
        let path = temporary.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    layers::problems(Path::new(temporary.path()), LAYERS)
}

/// One file, and the problems that it alone makes.
fn with(path: &str, text: &str) -> Vec<String> {
    problems(&[(path, text)])
}

/// No problems.
const NONE: [&str; 0] = [];
/// The end of a message about an edge from `bottom` to `top`.
const UP: &str = "names app/src/top.rs in layer 2 (top) from layer 4 (bottom)";

#[test]
fn edges_that_lead_down_are_fine() {
    assert_eq!(
        problems(&[
            ("app/src/top.rs", "use crate::{bottom, middle::inner::Inner}; use base::thing; use std::fmt;"),
            ("app/src/middle/mod.rs", "pub mod inner; use self::inner::Inner; use super::bottom::Bottom;"),
            ("app/src/middle/inner.rs", "use super::super::bottom; pub(in crate::middle) struct Inner;"),
        ]),
        NONE
    );
}

#[test]
fn an_import_that_leads_up_is_found() {
    for import in
        ["use crate::top::Top;", "use super::top;", "pub use crate::{side::Side as _, top::{self, Top}};"]
    {
        let found = with("app/src/bottom.rs", &format!("\n{import}\n"));
        assert!(found.iter().any(|problem| problem.ends_with(UP)), "{import}: {found:?}");
        assert!(
            found.iter().all(|problem| problem.starts_with("app/src/bottom.rs:2: ")),
            "{import}: {found:?}"
        );
    }
}

#[test]
fn a_path_in_code_that_leads_up_is_found() {
    for code in [
        "fn f() { crate::top::Top::new() }",
        "fn f(_: Option<crate::top::Top>) {}",
        "fn f() { println!(\"{}\", g(crate::top::Top::new())) }",
        "macro_rules! m { () => { $crate::top::Top::new() } }",
        "fn f() { use crate::top; }",
        "mod inline { fn f() { super::super::top::Top::new() } }",
        "use crate as root; fn f() { root::top::Top::new() }",
        "use crate::*; fn f() { top::Top::new() }",
    ] {
        let found = with("app/src/bottom.rs", code);
        assert!(found.iter().any(|problem| problem.ends_with(UP)), "{code}: {found:?}");
    }
}

#[test]
fn a_message_names_file_line_edge_and_layers() {
    assert_eq!(
        with("app/src/bottom.rs", "//! Text.\nuse crate::top::Top;"),
        ["app/src/bottom.rs:2: crate::top::Top names app/src/top.rs in layer 2 (top) from layer 4 (bottom)"]
    );
}

#[test]
fn an_edge_to_what_lies_beside_is_found() {
    assert_eq!(
        with("app/src/side.rs", "use crate::middle::inner::Inner;"),
        [
            "app/src/side.rs:1: crate::middle::inner::Inner names app/src/middle/inner.rs in layer 3 (middle, side) \
          from layer 3 (middle, side)"
        ]
    );
}

#[test]
fn a_re_export_hides_nothing() {
    let found = problems(&[
        ("app/src/bottom.rs", "use crate::Top;"),
        ("app/src/lib.rs", "mod top; mod middle; mod side; mod bottom; pub use top::Top;"),
    ]);
    assert_eq!(found, [format!("app/src/bottom.rs:1: crate::Top {UP}")]);
}

#[test]
fn a_package_names_no_upper_package() {
    let found = problems(&[
        ("app/src/top.rs", "use base::thing::Thing;"),
        ("base/src/thing.rs", "use app::top::Top; pub struct Thing;"),
    ]);
    let message = "base/src/thing.rs:1: app::top::Top names app/src/top.rs; \
                   the package base is not above the package app";
    assert_eq!(found[0], message);
}

#[test]
fn code_for_tests_is_exempt() {
    for code in [
        "#[cfg(test)] mod tests { use crate::top::Top; }",
        "#[cfg(test)] use crate::top::Top;",
        "struct S; impl S { #[cfg(test)] fn f() { crate::top::Top::new() } }",
        "#[cfg(all(test, unix))] fn f() { crate::top::Top::new() }",
        "/// [`crate::top::Top`]\nfn f() {}",
    ] {
        assert_eq!(with("app/src/bottom.rs", code), NONE, "{code}");
    }
    assert_eq!(with("app/src/bottom.rs", "#[cfg(not(test))] use crate::top::Top;").len(), 1);
}

#[test]
fn a_circle_of_too_many_files_is_found() {
    // Two files may name one another here, three may not; and `mod` items make no circle.
    let two = [
        ("app/src/middle/mod.rs", "pub mod inner; pub mod other; use inner::Inner; pub struct Outer;"),
        ("app/src/middle/inner.rs", "use super::Outer; pub struct Inner;"),
        ("app/src/middle/other.rs", "pub struct Other;"),
    ];
    assert_eq!(problems(&two), NONE);
    let three = [
        ("app/src/middle/mod.rs", "pub mod inner; pub mod other; use inner::Inner; pub struct Outer;"),
        ("app/src/middle/inner.rs", "use super::other::Other; pub struct Inner;"),
        ("app/src/middle/other.rs", "use super::Outer; pub struct Other;"),
    ];
    assert_eq!(
        problems(&three),
        ["3 files name one another in a circle, at most 2 may:\n    \
          app/src/middle/mod.rs:1: inner::Inner names app/src/middle/inner.rs\n    \
          app/src/middle/inner.rs:1: super::other::Other names app/src/middle/other.rs\n    \
          app/src/middle/other.rs:1: super::Outer names app/src/middle/mod.rs"]
    );
}

#[test]
fn every_file_has_a_layer_and_every_part_a_file() {
    let found = problems(&[
        ("app/src/lib.rs", "mod top; mod middle; mod bottom; mod stray;"),
        ("app/src/stray.rs", ""),
    ]);
    assert_eq!(
        found,
        [
            "app/src/stray.rs: is in no layer of the package app",
            "the package app has no file for the part side of its layers"
        ]
    );
}
