//! `runwire providers`.

use super::{
    Stop,
    args::{ProviderSelection, ProvidersArgs, ProvidersCommand},
    interruptible, output,
};
use crate::{
    app::{AppError, check_providers},
    config::{Config, Environment, Layers},
};

/// Says of each provider where its credentials are, and with `check` whether it takes them. Fails when
/// one that is in use, or was named, cannot be used.
pub(super) async fn providers(args: ProvidersArgs, environment: Environment) -> Result<(), Stop> {
    let (selection, ask) = match args.command {
        ProvidersCommand::List(selection) => (selection, false),
        ProvidersCommand::Check(selection) => (selection, true),
    };
    let ProviderSelection {
        names,
        config,
        json,
    } = selection;
    let config = Config::load(&Layers {
        file: config,
        environment: environment.clone(),
        flags: Vec::new(),
    })?;
    let findings = async {
        let found = check_providers(&config, &environment, &names, ask).await;
        found.map_err(|error| {
            if let AppError::Unknown(fault) = error {
                Stop::Usage(fault.message.into_owned())
            } else {
                Stop::Failed(error.to_string())
            }
        })
    };
    let mut bad = Vec::new();
    for finding in interruptible(findings).await? {
        if json {
            output::json(&finding.to_json())?;
        } else {
            output::line(format_args!("{:<12} {finding}", finding.provider))?;
        }
        if !finding.is_good() && (finding.is_in_use || !names.is_empty()) {
            bad.push(finding.provider);
        }
    }
    if ask && !bad.is_empty() {
        return Err(Stop::Failed(format!("cannot be used: {}", bad.join(", "))));
    }
    Ok(())
}
