//! The settings of this process: read once, when torch is imported, and never later.

use std::path::PathBuf;
use std::sync::OnceLock;

use traincheck_schema::run::SettingInfo;
use traincheck_settings::{Loaded, Settings, Sources, environment};

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// The settings in force; the defaults until [`load`].
#[inline]
pub fn get() -> &'static Settings {
    static DEFAULT: OnceLock<Settings> = OnceLock::new();
    match SETTINGS.get() {
        Some(settings) => settings,
        None => DEFAULT.get_or_init(Settings::default),
    }
}

/// What was read.
pub struct Read {
    /// The working directory, where the process may know it.
    pub folder: PathBuf,
    /// What `run.json` says of the settings.
    pub in_force: Vec<SettingInfo>,
    /// Settings that cannot be followed, each with all that is wrong with it.
    pub problems: Vec<(String, String)>,
}

/// Reads them. What cannot be followed does no harm.
pub fn load() -> Read {
    let folder = std::env::current_dir().unwrap_or_default();
    let Loaded { settings, in_force, problems, .. } = traincheck_settings::load(&Sources {
        folder: folder.clone(),
        environment: environment(),
        options: Vec::new(),
    });
    let mut of_settings: Vec<(String, String)> = Vec::new();
    for problem in &problems {
        match of_settings.iter_mut().find(|(setting, _)| *setting == problem.setting) {
            Some((_, why)) => *why += &format!("; {problem}"),
            None => of_settings.push((problem.setting.clone(), problem.to_string())),
        }
    }
    let _ = SETTINGS.set(settings);
    let in_force = in_force
        .into_iter()
        .map(|setting| SettingInfo {
            name: setting.name.to_owned(),
            value: setting.value,
            from: setting.place.to_string(),
        })
        .collect();
    Read { folder, in_force, problems: of_settings }
}
