//! Files of a run that are cut or written over, and file systems that promise room and then have none: the job goes on.

mod common;

use common::{event, files, info, inner, is_inner, read, wait_for};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use traincheck::sink;
use traincheck_tests::{left_out, left_out_by_this_machine};

/// As many events as go round the ring of the first thread twice.
const TWO_LAPS: u64 = 140_000;

/// Emits in portions that the writer keeps up with.
fn emit(count: u64) {
    for sequence in 0..count {
        sink::emit(&event(sequence));
        sink::text(&sequence.to_string());
        if sequence % 1_000 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// Waits for a line from outside.
fn wait_for_a_line() {
    println!("ready");
    BufReader::new(std::io::stdin()).read_line(&mut String::new()).unwrap();
}

/// The inner process, which has recorded something and waits.
fn begin(name: &str, folder: &Path) -> Child {
    let mut child = inner(name, folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, "ready");
    child
}

/// Lets the inner process go on, to its end, which must be a good one.
fn finish(mut child: Child) {
    // It may have ended already: its status says how.
    let _ = child.stdin.take().unwrap().write_all(b"go on\n");
    let status = child.wait().unwrap();
    assert!(status.success(), "the job was ended: {status}");
}

fn rings(folder: &Path) -> Vec<PathBuf> {
    let names = files(folder).into_iter().filter(|name| name.ends_with(".ring"));
    names.map(|name| folder.join(name)).collect()
}

#[test]
fn rings_that_are_cut_or_written_over() {
    const NAME: &str = "rings_that_are_cut_or_written_over";
    if is_inner() {
        assert!(sink::start(info()));
        emit(1_000);
        wait_for_a_line();
        emit(TWO_LAPS);
        return;
    }
    let cut = |file: &File| file.set_len(0);
    let write_over = |file: &File| file.write_all_at(&[0xa5; 4096], 0);
    for damage in [cut as fn(&File) -> _, write_over] {
        let folder = tempfile::tempdir().unwrap();
        let child = begin(NAME, folder.path());
        let rings = rings(folder.path());
        assert_eq!(rings.len(), 2);
        for ring in rings {
            damage(&OpenOptions::new().write(true).open(ring).unwrap()).unwrap();
        }
        finish(child);
        let found = read(folder.path());
        let lost: u64 = found.dropped.iter().map(|lost| lost.count).sum();
        assert_eq!(found.count() as u64 + lost, 1_000 + TWO_LAPS);
    }
}

/// A store into a file can need room on a file system that copies on write, also where room was set aside.
#[test]
fn a_full_file_system_that_copies_on_write() {
    const NAME: &str = "a_full_file_system_that_copies_on_write";
    if is_inner() {
        assert!(sink::start(info()));
        emit(TWO_LAPS);
        wait_for_a_line();
        emit(TWO_LAPS);
        return;
    }
    if program("mkfs.btrfs").arg("--version").output().is_err() {
        return left_out(NAME, "the Debian package btrfs-progs is not installed");
    }
    let disk = match Disk::btrfs() {
        Ok(disk) => disk,
        Err(why) => return left_out_by_this_machine(NAME, &why),
    };
    let run = disk.mounted.join("run");
    let child = begin(NAME, &run);
    disk.fill();
    finish(child);
    assert!(read(&run).count() > 1_000);
}

/// A small file system in a file.
struct Disk {
    mounted: PathBuf,
    _folder: tempfile::TempDir,
}

impl Disk {
    fn btrfs() -> Result<Disk, String> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let mounted = folder.path().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        run(program("mkfs.btrfs").args(["-q", "--mixed", "--metadata", "single"]).arg(&image))?;
        run(program("mount").args(["-o", "loop"]).arg(&image).arg(&mounted))?;
        Ok(Disk { mounted, _folder: folder })
    }

    /// Leaves no room.
    fn fill(&self) {
        // SAFETY: no arguments.
        unsafe { libc::sync() };
        for size in [1 << 20, 1 << 12] {
            let Ok(mut filler) = File::create(self.mounted.join(format!("filler-{size}"))) else { break };
            let mut word = 1_u64;
            let mut next = || {
                word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                word.to_le_bytes()
            };
            let noise: Vec<u8> = (0..size / 8).flat_map(|_| next()).collect();
            while filler.write_all(&noise).is_ok() && filler.sync_all().is_ok() {}
        }
        // SAFETY: no arguments.
        unsafe { libc::sync() };
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(program("umount").arg(&self.mounted));
    }
}

/// A program of the administrator's, which need not be on the path of others.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}
