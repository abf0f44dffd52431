//! The settings of this process: read once, when torch is imported, and never later.

use crate::sink;
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

/// Reads them. What cannot be followed is noted and does no harm. Gives back what `run.json` says of them.
pub fn load() -> Vec<SettingInfo> {
    let folder = std::env::current_dir().unwrap_or_default();
    let Loaded { settings, in_force, problems, .. } =
        traincheck_settings::load(&Sources { folder, environment: environment(), options: Vec::new() });
    // One note for each setting: all that is wrong with it.
    let mut told: Vec<&str> = Vec::new();
    for problem in &problems {
        if told.contains(&problem.setting.as_str()) {
            continue;
        }
        told.push(&problem.setting);
        let of_it = problems.iter().filter(|other| other.setting == problem.setting);
        let why = of_it.map(ToString::to_string).collect::<Vec<_>>().join("; ");
        sink::note_hook_off(&format!("setting {}", problem.setting), &why);
    }
    let _ = SETTINGS.set(settings);
    in_force
        .into_iter()
        .map(|setting| SettingInfo {
            name: setting.name.to_owned(),
            value: setting.value,
            from: setting.place.to_string(),
        })
        .collect()
}
