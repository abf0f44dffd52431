//! What a job was told on its command line and in its environment, and what its script holds, is nobody's business:
//! only what is on a list is written down, for the owner of the run alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use traincheck_tests::{Trace, finish, folder, preloaded, script};

const ARGUMENTS: [&str; 13] = [
    "--api-key",
    "planted-key",
    "--password=planted-password",
    "-pplanted-short",
    "--token",
    "424242424242",
    "--data",
    "/mnt/planted-path/data",
    "--planted-name-0123456789",
    "planted=value",
    "--max-tokens",
    "512",
    "https://planted-user:planted-in-url@host/planted-bucket/x.py",
];
const ENVIRONMENT: [(&str, &str); 4] = [
    ("WANDB_API_KEY", "planted-wandb"),
    ("HF_TOKEN", "hf_planted"),
    ("DATABASE_URL", "postgres://planted-user:planted-database@host/x"),
    ("RANK", "planted-rank"),
];
// Long enough not to come about by chance in what is compressed.
const PLANTED: [&str; 2] = ["planted", "424242424242"];

#[test]
fn in_every_profile() {
    for profile in ["training", "full"] {
        let temporary = folder();
        let run = temporary.path().join("above/run");
        let mut command = preloaded(&run);
        command
            .arg(script("with_secrets.py"))
            .args(ARGUMENTS)
            .envs(ENVIRONMENT)
            .env("TRAINCHECK_PROFILE", profile);
        // SAFETY: only `umask` is called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::umask(0);
                Ok(())
            });
        }
        finish(&mut command).exited(0);

        let process = Trace::read(&run).only();
        process.assert_whole();
        let mut written = vec![("trace".to_owned(), format!("{process:?}"))];
        written
            .extend(process.dictionary.iter().map(|entry| ("dictionary".to_owned(), format!("{entry:?}"))));
        assert_eq!(mode(&run), 0o700);
        assert_eq!(mode(run.parent().unwrap()), 0o700);
        for file in fs::read_dir(&run).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(mode(&file), 0o600, "{}", file.display());
            let bytes = fs::read(&file).unwrap();
            written.push((file.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
        for (place, text) in &written {
            for secret in PLANTED {
                assert!(!text.contains(secret), "{secret} is in {place}, profile {profile}");
            }
        }
        // The list is not empty either.
        let info = fs::read_to_string(run.join("run.json")).unwrap();
        for kept in ["\"--api-key\"", "\"--max-tokens\"", "\"512\"", "with_secrets.py"] {
            assert!(info.contains(kept), "{kept} is not in {info}");
        }
    }
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
