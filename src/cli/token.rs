//! `runwire token`.

use serde_json::json;

use super::{
    Stop,
    args::{TokenArgs, TokenCommand},
    output,
};
use crate::config::{Grant, new_token};

/// Makes a token. The token itself goes to standard error, so that the entry can be appended to the
/// tokens file by redirection and the token does not end up there.
pub(super) fn token(args: TokenArgs) -> Result<(), Stop> {
    let TokenCommand::New {
        name,
        tenant,
        scope,
        host_tools,
        use_tools,
        json,
    } = args.command;
    let grant = Grant {
        tenant,
        scopes: scope,
        host_tools,
        use_tools,
    };
    let (token, entry) = new_token(&name, &grant)?;
    if json {
        output::json(&json!({"token": token.expose(), "entry": entry}))?;
    } else {
        output::text(&entry)?;
        output::note(format_args!("token, shown this once: {}", token.expose()));
    }
    Ok(())
}
