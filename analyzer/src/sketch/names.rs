//! What runs are called.

use std::path::{Path, PathBuf};

/// The names of runs in these folders, from the root on: where folders are called alike, with as much of the way to them as
/// tells them apart.
pub fn names(folders: &[&str]) -> Vec<String> {
    let parts: Vec<Vec<String>> = folders
        .iter()
        .map(|folder| {
            let parts = Path::new(folder).components().rev();
            parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
        })
        .collect();
    let name = |number: usize| {
        let own = &parts[number];
        let shared = |other: &Vec<String>| own.iter().zip(other).take_while(|(one, two)| one == two).count();
        let others = parts.iter().enumerate().filter(|(other, _)| *other != number);
        // On two machines a folder may have the same path: then nothing tells them apart.
        let needed = others.map(|(_, other)| shared(other) + 1).max().unwrap_or(1).min(own.len());
        own[..needed].iter().rev().collect::<PathBuf>().to_string_lossy().into_owned()
    };
    (0..folders.len()).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn as_much_of_the_way_as_tells_them_apart() {
        assert_eq!(names(&["/a/run", "/b/run", "/a/other"]), ["a/run", "b/run", "other"]);
        assert_eq!(names(&["/a/run", "/a/run", "/other"]), ["/a/run", "/a/run", "other"]);
        assert_eq!(names(&["/run", "/a/run"]), ["/run", "a/run"]);
        assert_eq!(names(&["/"]), ["/"]);
    }
}
