//! `runwire models`.

use serde_json::json;

use super::{
    Stop,
    args::ModelsArgs,
    interruptible, json, output,
    target::{Local, Target},
};
use crate::config::Environment;

/// Lists models. A provider that cannot be asked is named on standard error; when one was asked for and
/// cannot be, that is a failure.
pub(super) async fn list(
    args: ModelsArgs,
    environment: Environment,
    local: Local,
) -> Result<(), Stop> {
    let target = Target::new(&args.common, environment, local).await?;
    let provider = args.provider.as_deref().unwrap_or_default();
    let mut token = String::new();
    loop {
        let page = async { Ok(target.client.list_models(provider, &token).await?) };
        let page = interruptible(page).await?;
        for model in &page.models {
            if args.common.json {
                output::json(&json::model(model))?;
            } else if model.aliases.is_empty() {
                output::line(&model.id)?;
            } else {
                output::line(format_args!("{} ({})", model.id, model.aliases.join(", ")))?;
            }
        }
        for unavailable in &page.unavailable {
            let error = unavailable.error.clone().unwrap_or_default();
            let why = format!(
                "{}: {}: {}",
                unavailable.provider, error.reason, error.message
            );
            if args.provider.is_some() {
                return Err(Stop::Failed(why));
            }
            if args.common.json {
                let error = json::error(&error);
                output::json(&json!({"provider": unavailable.provider, "error": error}))?;
            } else {
                output::note(why);
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        token = page.next_page_token;
    }
}
