//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::config::Flag;

/// One API over all language models, an agent Runner, and tools that live wherever their owners are.
#[derive(Clone, Debug, Parser)]
#[command(name = "runwire", version, disable_help_subcommand = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve the gRPC API
    Serve(ServeArgs),
    /// Ask a model once
    Complete(CompleteArgs),
    /// Talk with a model
    Chat(ChatArgs),
    /// Run an agent from a file
    Run(RunArgs),
    /// List models
    Models(ModelsArgs),
    /// List the model vendors, and check their credentials
    Providers(ProvidersArgs),
    /// List, show, watch and cancel runs
    Runs(RunsArgs),
    /// Ask whether a server takes work
    Health(HealthArgs),
    /// Check or show the configuration
    Config(ConfigArgs),
    /// Make a bearer token
    Token(TokenArgs),
    /// Check, shrink or write out what a server has stored; no server may have it open
    Store(StoreArgs),
}

/// Arguments of `serve`.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct ServeArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory of everything that the server keeps
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Allow an address that others can reach without authentication
    #[arg(long)]
    pub insecure: bool,
    /// What to log: a level, or targets with levels
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How the log looks: text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl ServeArgs {
    /// The flags as a layer of the configuration.
    pub fn flags(&self) -> Vec<Flag> {
        let insecure = self.insecure.then(|| "true".to_owned());
        [
            ("--listen", "server.listen", self.listen.clone()),
            ("--data-dir", "store.data_dir", self.data_dir.clone()),
            ("--insecure", "server.insecure", insecure),
            ("--log", "log.filter", self.log.clone()),
            ("--log-format", "log.format", self.log_format.clone()),
        ]
        .into_iter()
        .filter_map(|(flag, key, value)| value.map(|value| Flag { flag, key, value }))
        .collect()
    }
}

/// Which server, and how to print. Of every command that talks to one.
#[derive(Clone, Debug, ClapArgs)]
pub struct Common {
    /// URL of the server, or host:port; also RUNWIRE_SERVER. Without it, the command serves itself in
    /// this process
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Variable that holds the bearer token
    #[arg(long, value_name = "NAME", default_value = "RUNWIRE_TOKEN")]
    pub token_env: String,
    /// Certificate authorities to trust for an https server, instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Certificate of this client (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key of this client (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Configuration file, for a command that serves itself
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// How to generate.
#[derive(Clone, Debug, ClapArgs)]
pub struct Generation {
    /// Model: provider:model, or an alias
    #[arg(short, long, value_name = "MODEL")]
    pub model: String,
    /// Model to fall back to; may be given again
    #[arg(long, value_name = "MODEL")]
    pub fallback: Vec<String>,
    /// Instructions
    #[arg(short, long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<i64>,
    /// Sampling temperature
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// Seed, for answers as alike as the model can make them
    #[arg(long, value_name = "N")]
    pub seed: Option<i64>,
    /// Print the model's reasoning, too, on standard error
    #[arg(long)]
    pub reasoning: bool,
}

/// Arguments of `complete`.
#[derive(Clone, Debug, ClapArgs)]
pub struct CompleteArgs {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) generation: Generation,
    /// What to ask; - reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub(super) prompt: String,
}

/// Arguments of `chat`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ChatArgs {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) generation: Generation,
}

/// Arguments of `run`.
#[derive(Clone, Debug, ClapArgs)]
pub struct RunArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Agent file (TOML)
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// What to ask, instead of the file's input; - reads it from standard input
    #[arg(short, long, value_name = "TEXT")]
    pub(super) input: Option<String>,
    /// Model, instead of the file's
    #[arg(short, long, value_name = "MODEL")]
    pub(super) model: Option<String>,
    /// Create the run, print its id and leave; needs a server
    #[arg(long)]
    pub(super) detach: bool,
}

/// Arguments of `models`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ModelsArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Only of this provider
    #[arg(long, value_name = "NAME")]
    pub(super) provider: Option<String>,
}

/// Arguments of `runs`.
#[derive(Clone, Debug, ClapArgs)]
pub struct RunsArgs {
    #[command(subcommand)]
    pub(super) command: RunsCommand,
}

/// What to do with runs.
#[derive(Clone, Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List {
        #[command(flatten)]
        place: RunsPlace,
        /// Only in this state: queued, running, input_required, cancelling, succeeded, failed, cancelled;
        /// may be given again
        #[arg(long, value_name = "STATE", value_parser = state)]
        state: Vec<crate::pb::v1::run::State>,
        /// Only with this label; may be given again
        #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
        label: Vec<(String, String)>,
        /// Only of this agent
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show a run
    Get {
        #[command(flatten)]
        place: RunsPlace,
        /// The run's id
        id: String,
    },
    /// Watch a run to its end
    Watch {
        #[command(flatten)]
        place: RunsPlace,
        /// The run's id
        id: String,
        /// Begin after this event; 0 is the beginning. Without it, begin with how things stand
        #[arg(long, value_name = "SEQUENCE")]
        after: Option<i64>,
    },
    /// Ask a run to stop
    Cancel {
        #[command(flatten)]
        place: RunsPlace,
        /// The run's id
        id: String,
        /// Why; kept in the log
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Answer what a run waits for: approve a call or decline it, or answer a tool's question
    Answer(AnswerArgs),
}

/// Arguments of `runs answer`.
#[derive(Clone, Debug, ClapArgs)]
pub struct AnswerArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// The run's id
    pub(super) id: String,
    /// The input's id, as `runs get --json` shows it
    pub(super) input: String,
    /// What to answer
    #[arg(value_enum)]
    pub(super) verdict: AnswerVerdict,
    /// JSON: other arguments for the call, or the answer to the question
    #[arg(long, value_name = "JSON", default_value = "")]
    pub(super) content: String,
    /// Why it is declined; told to the model
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
}

/// What an answer does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AnswerVerdict {
    /// Approve, or answer
    Accept,
    /// Refuse
    Decline,
}

/// Where runs are: with a server, or in a data directory, and how to print them.
#[derive(Clone, Debug, ClapArgs)]
pub struct RunsPlace {
    #[command(flatten)]
    pub(super) common: Common,
    /// Directory in which a server keeps, or has kept, its runs; without a server
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub(super) data_dir: Option<String>,
    /// Whose runs, instead of those of the tenant default; without a server
    #[arg(long, value_name = "NAME", conflicts_with = "server")]
    pub(super) tenant: Option<String>,
}

impl RunsPlace {
    /// Whether a data directory is meant, whatever the environment says.
    pub(super) const fn is_local(&self) -> bool {
        self.data_dir.is_some() || self.tenant.is_some()
    }
}

fn state(name: &str) -> Result<crate::pb::v1::run::State, String> {
    use crate::pb::v1::run::State;
    match name {
        "queued" => Ok(State::Queued),
        "running" => Ok(State::Running),
        "input_required" => Ok(State::InputRequired),
        "cancelling" => Ok(State::Cancelling),
        "succeeded" => Ok(State::Succeeded),
        "failed" => Ok(State::Failed),
        "cancelled" => Ok(State::Cancelled),
        _ => Err(
            "is not one of queued, running, input_required, cancelling, succeeded, failed, cancelled"
                .to_owned(),
        ),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("is not KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Arguments of `providers`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ProvidersArgs {
    #[command(subcommand)]
    pub(super) command: ProvidersCommand,
}

/// What to do with providers.
#[derive(Clone, Debug, Subcommand)]
pub enum ProvidersCommand {
    /// Say where the credentials of each provider are found, or what to set
    List(ProviderSelection),
    /// The same, and ask the providers that are in use, or named, whether they take them
    Check(ProviderSelection),
}

/// Which providers, of which configuration.
#[derive(Clone, Debug, ClapArgs)]
pub struct ProviderSelection {
    /// Names of providers; without any, all
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of `health`.
#[derive(Clone, Debug, ClapArgs)]
pub struct HealthArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Ask for one service, such as runwire.v1.RunService
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) service: String,
}

/// Arguments of `config`.
#[derive(Clone, Debug, ClapArgs)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub(super) command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every problem with its file and line
    Check(ServeArgs),
    /// Print the whole configuration, defaults included
    Show(ServeArgs),
}

/// Arguments of `token`.
#[derive(Clone, Debug, ClapArgs)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub(super) command: TokenCommand,
}

/// What to do with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token: it goes to standard error, its entry for the tokens file to standard output
    New {
        /// Name of the principal
        #[arg(long)]
        name: String,
        /// Whose data it works on
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it may do: completions, runs.write, runs.read, runs.answer, threads.delete, tools.host, tools.use;
        /// may be given again
        #[arg(long, value_name = "SCOPE", required = true)]
        scope: Vec<String>,
        /// Tool names that it may host, * is any run of characters; may be given again
        #[arg(long, value_name = "PATTERN")]
        host_tools: Vec<String>,
        /// Tool names that it may bind to runs; may be given again
        #[arg(long, value_name = "PATTERN")]
        use_tools: Vec<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `store`.
#[derive(Clone, Debug, ClapArgs)]
pub struct StoreArgs {
    #[command(subcommand)]
    pub(super) command: StoreCommand,
}

/// What to do with a store.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Read everything, and say what is wrong with it
    Check(StorePlace),
    /// Give the room of dropped runs back to the disk
    Vacuum(StorePlace),
    /// Write every run's events, one JSON object a line
    Export(StorePlace),
}

/// Where a store is.
#[derive(Clone, Debug, ClapArgs)]
pub struct StorePlace {
    /// Configuration file of the server (TOML)
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Directory of everything that the server keeps
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_become_a_layer_of_the_configuration() {
        let args = [
            "runwire",
            "serve",
            "--listen",
            "[::1]:0",
            "--insecure",
            "--log",
            "debug",
        ];
        let Command::Serve(serve) = Args::try_parse_from(args).unwrap().command else {
            panic!("serve is another command");
        };
        let flags: Vec<_> = serve
            .flags()
            .into_iter()
            .map(|f| (f.flag, f.key, f.value))
            .collect();
        assert_eq!(
            flags,
            [
                ("--listen", "server.listen", "[::1]:0".to_owned()),
                ("--insecure", "server.insecure", "true".to_owned()),
                ("--log", "log.filter", "debug".to_owned()),
            ]
        );
    }
}
