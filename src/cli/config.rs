//! `runwire config`.

use super::{
    Stop,
    args::{ConfigArgs, ConfigCommand, ServeArgs},
    output,
};
use crate::config::{Config, Environment, Layers};

/// Checks or shows the configuration that `runwire serve` would have with the same flags.
pub(super) fn config(args: ConfigArgs, environment: Environment) -> Result<(), Stop> {
    match args.command {
        ConfigCommand::Check(args) => {
            load(&args, environment)?;
            output::line("the configuration is good")?;
        }
        ConfigCommand::Show(args) => output::text(&load(&args, environment)?.to_toml())?,
    }
    Ok(())
}

fn load(args: &ServeArgs, environment: Environment) -> Result<Config, Stop> {
    let layers = Layers {
        file: args.config.clone(),
        environment,
        flags: args.flags(),
    };
    Ok(Config::load(&layers)?)
}
