//! `runwire health`.

use serde_json::json;

use super::{Stop, args::HealthArgs, interruptible, output, target::Target};
use crate::config::Environment;

/// Says whether a server takes work: by exit code for probes, in a word for people, in gRPC's own word
/// for scripts.
pub(super) async fn health(args: HealthArgs, environment: Environment) -> Result<(), Stop> {
    let client = Target::configured(&args.common, &environment)?;
    let asked = async { Ok(client.is_serving(&args.service).await?) };
    let is_serving = interruptible(asked).await?;
    if args.common.json {
        let status = if is_serving { "SERVING" } else { "NOT_SERVING" };
        output::json(&json!({ "status": status }))?;
    } else if is_serving {
        output::line("serving")?;
    }
    if is_serving {
        Ok(())
    } else {
        Err(Stop::Failed("not serving".to_owned()))
    }
}
