//! Settings as options of a command, made from their table.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use traincheck_settings::{Given, Kind, Loaded, Setting, Sources, TABLE, environment, load};

/// The settings that were given as options.
#[derive(Clone, Debug, Default)]
pub struct Options(Vec<Given>);

impl Options {
    /// The value of an option that is a path.
    pub fn path(&self, setting: &str) -> Option<&Path> {
        let given = self.0.iter().find(|given| given.setting == setting)?;
        given.values.last().map(Path::new)
    }

    /// The settings as a process will find them that is started here with [`Options::variables`].
    pub fn load(&self) -> Loaded {
        let folder = env::current_dir().unwrap_or_default();
        load(&Sources { folder, environment: environment(), options: self.0.clone() })
    }

    /// What has to be set in the environment of such a process. `file`: the file of settings that was found, so that
    /// it does not depend on the working directory.
    pub fn variables(&self, file: Option<PathBuf>) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<_> = self
            .0
            .iter()
            .filter_map(|given| Some((row(given.setting)?, given)))
            .filter(|(row, _)| !matches!(row.kind, Kind::Path))
            .map(|(row, given)| (row.variable, given.values.join(std::ffi::OsStr::new(","))))
            .collect();
        if let Some(file) = file {
            let file = std::path::absolute(&file).unwrap_or(file);
            variables.push(("TRAINCHECK_CONFIG", file.into()));
        }
        variables
    }
}

fn row(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|row| row.name == name)
}

impl clap::Args for Options {
    fn augment_args(mut command: Command) -> Command {
        for row in TABLE.iter().filter(|row| !row.option.is_empty()) {
            let default = match row.default {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            let action = if row.is_list() { clap::ArgAction::Append } else { clap::ArgAction::Set };
            let mut argument = clap::Arg::new(row.name)
                .long(row.option)
                .value_name(row.value_name())
                .value_parser(clap::value_parser!(OsString))
                .action(action)
                .help(format!("{}{default} [variable: {}]", row.help, row.variable));
            if let Some(letter) = row.letter {
                argument = argument.short(letter);
            }
            command = command.arg(argument);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = TABLE.iter().filter(|row| !row.option.is_empty()).filter_map(|row| {
            let values = matches.get_many::<OsString>(row.name)?.cloned().collect();
            Some(Given { setting: row.name, values })
        });
        Ok(Options(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
