//! `runwire health`.

use super::{Stop, args::HealthArgs, interruptible, output, target::Target};
use crate::config::Environment;

/// Says whether a server takes work: by exit code for probes, in a word for people.
pub(super) async fn health(args: HealthArgs, environment: Environment) -> Result<(), Stop> {
    let client = Target::configured(&args.common, &environment)?;
    let asked = async { Ok(client.is_serving(&args.service).await?) };
    if interruptible(asked).await? {
        Ok(output::line("serving")?)
    } else {
        Err(Stop::Failed("not serving".to_owned()))
    }
}
