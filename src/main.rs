//! The `runwire` program.

use std::{fmt::Display, io::Write as _, process::ExitCode, sync::Arc};

use futures_util::future::BoxFuture;
use runwire::{
    app::{self, App, World},
    cli::{self, Command, EXIT_USAGE, LocalServer, ServeArgs},
    config::{Config, Environment, Layers},
    run::fail as fail_point,
    telemetry,
};

fn main() -> ExitCode {
    let args = match cli::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let environment = Environment::of_process();
    let code = if let Command::Serve(args) = &args.command {
        runtime.block_on(serve(args, environment))
    } else {
        runtime.block_on(cli::run(args, environment, Box::new(local)))
    };
    // A read of standard input that nobody waits for any more would hold the exit up for ever.
    runtime.shutdown_background();
    code
}

/// Serves until a signal ends it.
async fn serve(args: &ServeArgs, environment: Environment) -> ExitCode {
    let layers = Layers {
        file: args.config.clone(),
        environment,
        flags: args.flags(),
    };
    let config = match Config::load(&layers) {
        Ok(config) => config,
        Err(problems) => {
            for problem in &problems.0 {
                fail(problem, EXIT_USAGE);
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if let Err(error) = telemetry::init(&config.log) {
        return fail(&error, EXIT_USAGE);
    }
    if let Some(place) = layers.environment.get("RUNWIRE_FAIL_POINT")
        && !fail_point::arm(place)
    {
        let why = "RUNWIRE_FAIL_POINT: no such place in this build";
        return fail(&why, EXIT_USAGE);
    }
    match app::serve(&config, &layers.environment).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

/// A server in this process, for one connection. It listens nowhere.
fn local(
    config: Config,
    environment: Environment,
) -> BoxFuture<'static, Result<LocalServer, String>> {
    Box::pin(async move {
        let world = World::passing(&config, &environment).map_err(|error| error.to_string())?;
        let app = App::build(&config, world).await;
        let app = Arc::new(app.map_err(|error| error.to_string())?);
        Ok(LocalServer {
            io: app.connect(),
            guard: Box::new(app),
        })
    })
}

fn fail(error: &dyn Display, code: u8) -> ExitCode {
    // Nowhere to report that standard error is gone.
    let _gone = writeln!(std::io::stderr(), "runwire: {error}");
    ExitCode::from(code)
}
