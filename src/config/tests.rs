//! What is accepted, what is refused, and in which words.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use super::*;

/// Loads a file with this text, these variables and flags.
fn load(text: &str, variables: &[(&str, &str)], flags: &[Flag]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runwire.toml");
    fs::write(&file, text).unwrap();
    let layers = Layers {
        file: Some(file),
        environment: variables.iter().copied().collect(),
        flags: flags.to_vec(),
    };
    let place = format!("{}/", folder.path().display());
    Config::load(&layers).map_err(|problems| problems.to_string().replace(&place, ""))
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    assert_eq!(load(text, &[], &[]).unwrap_err(), expected, "{text}");
}

fn listen(value: &str) -> Flag {
    Flag {
        flag: "--listen",
        key: "server.listen",
        value: value.to_owned(),
    }
}

#[test]
fn the_defaults_need_no_configuration() {
    let config = Config::load(&Layers::default()).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.server.stream_window, Size::kib(256));
    assert_eq!(config.server.connection_window, Size::mib(256));
    assert_eq!(config.tools.heartbeat, Duration::from_secs(15));
    assert_eq!(config.tools.dead_after, Duration::from_secs(45));
    assert_eq!(config.store.data_dir, None);
    let names: Vec<_> = config.providers.keys().map(String::as_str).collect();
    assert_eq!(names, PROVIDER_KINDS);
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file = "[server]\nlisten = '127.0.0.1:1'\ndrain = '1s'\nheartbeat = '1s'\n[log]\nformat = 'json'\n";
    let variables = [
        ("RUNWIRE__SERVER__LISTEN", "127.0.0.1:2"),
        ("RUNWIRE__SERVER__DRAIN", "2s"),
        ("RUNWIRE__RUNS__MAX_TURNS", "7"),
        ("RUNWIRE__SERVER__INSECURE", "true"),
    ];
    let config = load(file, &variables, &[listen("127.0.0.1:3")]).unwrap();
    assert_eq!(config.server.listen, SocketAddr::from(([127, 0, 0, 1], 3)));
    assert_eq!(config.server.drain, Duration::from_secs(2));
    assert_eq!(config.server.heartbeat, Duration::from_secs(1));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.runs.max_turns, 7);
    assert!(config.server.insecure);
    assert_eq!(config.runs.max_tool_calls, 1_000);
}

#[test]
fn every_bad_value_is_named_with_its_line() {
    for (text, expected) in [
        (
            "\n[server]\nlisten = 'here'",
            "runwire.toml:3: server.listen: \"here\" is not an address such as \"127.0.0.1:50051\" or \
             \"[::]:50051\"",
        ),
        (
            "[server]\nlisten = 50051",
            "runwire.toml:2: server.listen: is an address such as \"127.0.0.1:50051\" or \
             \"[::]:50051\", not an integer",
        ),
        (
            "[server]\ndrain = '30'",
            "runwire.toml:2: server.drain: \"30\" is not a duration such as \"250ms\", \"30s\", \
             \"5m\" or \"2h\"",
        ),
        (
            "[server]\nstream_window = '256 KB'",
            "runwire.toml:2: server.stream_window: \"256 KB\" is not a size such as \"512B\", \
             \"256KiB\" or \"4MiB\"",
        ),
        (
            "[server]\nmax_concurrent_streams = -1",
            "runwire.toml:2: server.max_concurrent_streams: is a whole number from 0 to 4294967295",
        ),
        (
            "[server]\ninsecure = 'yes'",
            "runwire.toml:2: server.insecure: is true or false",
        ),
        (
            "server = 1",
            "runwire.toml:1: server: is a table, not an integer",
        ),
        (
            "[store]\nkind = 'mysql'",
            "runwire.toml:2: store.kind: \"mysql\" is not one of \"memory\", \"sqlite\"",
        ),
        (
            "[log]\nformat = 'xml'",
            "runwire.toml:2: log.format: \"xml\" is not one of \"text\", \"json\"",
        ),
        (
            "[log]\ncolour = true",
            "runwire.toml:2: log.colour: unknown key; known here: format, filter",
        ),
        (
            "[logs]",
            "runwire.toml:1: logs: unknown key; known here: server, auth, store, providers, models, \
             media, completions, retry, runs, tools, mcp, policy, log",
        ),
        (
            "[auth.principals.a]\nscopes = 'all'",
            "runwire.toml:2: auth.principals.a.scopes: is an array of strings, not a string",
        ),
        (
            "[models.aliases]\nfast = 1979-05-27",
            "runwire.toml:2: models.aliases.fast: is a string, not a date",
        ),
    ] {
        refuses(text, expected);
    }
}

#[test]
fn keys_that_do_not_fit_each_other_are_refused() {
    for (text, expected) in [
        (
            "[tools]\nheartbeat = '45s'",
            "runwire.toml:2: tools.heartbeat: is not shorter than tools.dead_after: every healthy host \
             would be taken for dead",
        ),
        (
            "[[policy.rules]]\ntool = 'a'",
            "runwire.toml:1: policy.rules.0.action: is required: \"allow\", \"deny\" or \"require_approval\"",
        ),
        (
            "[server]\nlisten = '0.0.0.0:50051'",
            "runwire.toml:2: server.listen: 0.0.0.0:50051 is not loopback and auth.mode is \"none\": \
             everybody who reaches it could do everything; set auth.mode, or say --insecure",
        ),
        (
            "[auth]\nmode = 'tokens'",
            "runwire.toml:2: auth.mode: \"tokens\" needs auth.tokens_file",
        ),
        (
            "[auth]\nmode = 'mtls'\n[auth.principals.a]\n",
            "runwire.toml:2: auth.mode: \"mtls\" needs server.tls.client_ca",
        ),
        (
            "[auth.principals.a]\ntenant = 'A B'\nscopes = ['all']\n",
            "runwire.toml:2: auth.principals.a.tenant: \"A B\" is not 1 to 63 of a-z 0-9 - _\n\
             runwire.toml:3: auth.principals.a.scopes: \"all\" is not one of completions, runs.write, \
             runs.read, runs.answer, threads.delete, tools.host, tools.use",
        ),
        (
            "[server.tls]\ncert = 'a'",
            "runwire.toml:2: server.tls.cert: needs server.tls.key beside it",
        ),
        (
            "[server]\nstream_window = '8KiB'",
            "runwire.toml:2: server.stream_window: is from 16KiB to just under 2GiB",
        ),
        (
            "[runs]\nmax_turns = 0",
            "runwire.toml:2: runs.max_turns: is zero, which lets nothing happen",
        ),
        (
            "[providers.mine]\nkind = 'openai'",
            "runwire.toml:1: providers.mine.base_url: a provider of kind \"openai\" needs it",
        ),
        (
            "[providers.openai]\nbase_url = 'https://me:pw@x'",
            "runwire.toml:2: providers.openai.base_url: is an http or https URL with a host, without \
             user, query and fragment",
        ),
        (
            "[providers.openai]\nproxy = 'http://p'\nproxy_env = 'P'",
            "runwire.toml:3: providers.openai.proxy_env: stands beside proxy: choose one",
        ),
        (
            "[providers.openai]\nheaders = { X-A = 'a' }\nheaders_env = { X-A = 'A' }",
            "runwire.toml:3: providers.openai.headers_env.X-A: stands in headers, too: choose one",
        ),
        (
            "[media]\nprivate_networks = ['10.0.0.0/8', '10.0.0.1/8']",
            "runwire.toml:2: media.private_networks: \"10.0.0.1/8\" is not a network such as \
             \"10.1.0.0/16\" or \"fd00::/8\"",
        ),
        (
            "[media]\nmax_concurrent = 0",
            "runwire.toml:2: media.max_concurrent: is zero, which lets nothing happen",
        ),
        (
            "[models.aliases]\nfast = 'gpt-5'\nslow = 'nowhere:x'\n",
            "runwire.toml:2: models.aliases.fast: \"gpt-5\" is not provider:model\n\
             runwire.toml:3: models.aliases.slow: no provider \"nowhere\" is configured",
        ),
    ] {
        refuses(text, expected);
    }
}

#[test]
fn an_unknown_kind_is_refused_with_those_there_are() {
    let known = PROVIDER_KINDS.join(", ");
    refuses(
        "[providers.mine]\nbase_url = 'http://x'",
        &format!("runwire.toml:1: providers.mine.kind: \"mine\" is not one of {known}"),
    );
}

#[test]
fn all_problems_come_at_once_whatever_layer_they_are_in() {
    let text = "[server]\nlisten = 'x'\nports = 1\n[store]\nkind = 'disk'\n";
    let variables = [
        ("RUNWIRE__LOG__FORMATS", "json"),
        ("RUNWIRE__RUNS__MAX_TURNS", "many"),
        ("RUNWIRE_SERVER", "not for the configuration"),
    ];
    let drain = Flag {
        flag: "--drain",
        key: "server.drain",
        value: "soon".to_owned(),
    };
    let problems = load(text, &variables, &[drain]).unwrap_err();
    assert_eq!(
        problems.lines().collect::<Vec<_>>(),
        [
            "runwire.toml:2: server.listen: \"x\" is not an address such as \"127.0.0.1:50051\" or \
             \"[::]:50051\"",
            "--drain: server.drain: \"soon\" is not a duration such as \"250ms\", \"30s\", \"5m\" or \
             \"2h\"",
            "runwire.toml:3: server.ports: unknown key; known here: listen, insecure, stream_window, \
             connection_window, max_concurrent_streams, max_connections, max_header_list, max_request, \
             max_message, max_response, handshake_timeout, first_message_timeout, keepalive_interval, \
             keepalive_timeout, heartbeat, half_close_timeout, drain, tls",
            "runwire.toml:5: store.kind: \"disk\" is not one of \"memory\", \"sqlite\"",
            "RUNWIRE__RUNS__MAX_TURNS: runs.max_turns: is a whole number from 0 to 4294967295",
            "RUNWIRE__LOG__FORMATS: log.formats: unknown key; known here: format, filter",
        ]
    );
}

#[test]
fn every_syntax_error_is_named() {
    let problems = load("a = \n[server\nb = 1\n", &[], &[]).unwrap_err();
    let lines: Vec<_> = problems.lines().map(|line| &line[..14]).collect();
    assert!(
        lines.starts_with(&["runwire.toml:1", "runwire.toml:2"]),
        "{problems}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let layers = Layers {
        file: Some(PathBuf::from("/nowhere/runwire.toml")),
        ..Layers::default()
    };
    let problems = Config::load(&layers).unwrap_err().to_string();
    assert!(
        problems.starts_with("cannot read /nowhere/runwire.toml: "),
        "{problems}"
    );
}

#[test]
fn a_key_in_the_file_is_refused_and_never_shown() {
    let secret = "sk-live-1234567890";
    for (text, key) in [
        (
            format!("[providers.openai]\napi_key = '{secret}'"),
            "api_key",
        ),
        (
            format!("[providers.openai]\napi_key_env = '{secret}'"),
            "api_key_env",
        ),
        (
            format!("[providers.openai.headers]\nAuthorization = '{secret}'"),
            "headers.Authorization",
        ),
        (
            format!("[providers.openai]\nheaders_env = {{ X-Key = '{secret}' }}"),
            "headers_env.X-Key",
        ),
        (
            format!("[providers.openai]\nproxy_env = 'http://me:{secret}@proxy'"),
            "proxy_env",
        ),
        (format!("[auth]\ntokens = ['{secret}']"), "auth.tokens"),
    ] {
        let problems = load(&text, &[], &[]).unwrap_err();
        assert!(problems.contains(key), "{problems}");
        assert!(problems.starts_with("runwire.toml:2: "), "{problems}");
        assert!(!problems.contains(secret), "{problems}");
    }
}

#[test]
fn a_key_is_read_from_its_variable_or_its_file_and_debug_hides_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "sk-from-file\n").unwrap();
    let text = format!(
        "[providers.mine]\nkind = 'openai'\nbase_url = 'http://localhost:1/v1'\napi_key_file = '{}'\n",
        file.display()
    );
    let variables = [
        ("OPENAI_API_KEY", "sk-from-variable"),
        ("OLLAMA_API_URL", "http://ollama:1"),
    ];
    let config = load(&text, &variables, &[]).unwrap();
    let key = |name: &str| config.providers[name].api_key.as_ref().map(Secret::expose);
    assert_eq!(key("mine"), Some("sk-from-file"));
    assert_eq!(key("openai"), Some("sk-from-variable"));
    assert_eq!(key("ollama"), None);
    assert_eq!(
        config.providers["ollama"].base_url.as_deref(),
        Some("http://ollama:1")
    );
    for seen in [format!("{config:?}"), config.to_toml()] {
        assert!(!seen.contains("sk-from"), "{seen}");
    }
}

#[test]
fn secret_headers_and_proxies_are_read_from_their_variables_and_missing_ones_are_remembered() {
    let text = "[providers.openai]\nheaders_env = { X-A = 'A' }\nproxy_env = 'P'\n";
    let variables = [("A", "secret-a"), ("P", "http://me:secret-p@proxy:3128")];
    let config = load(text, &variables, &[]).unwrap();
    let openai = &config.providers["openai"];
    assert_eq!(openai.secret_headers["X-A"].expose(), "secret-a");
    assert!(openai.secret_proxy.is_some() && openai.missing_variable.is_none());
    for seen in [format!("{config:?}"), config.to_toml()] {
        assert!(!seen.contains("secret-a") && !seen.contains("secret-p"));
    }
    for (variables, missing) in [(&variables[..1], "P"), (&variables[1..], "A")] {
        let config = load(text, variables, &[]).unwrap();
        let found = config.providers["openai"].missing_variable.as_deref();
        assert_eq!(found, Some(missing));
    }
    let problems = load(text, &[("A", "a"), ("P", "ftp://secret-p")], &[]).unwrap_err();
    assert!(problems.contains("P does not hold an http or https URL"));
    assert!(!problems.contains("secret-p"));
}

#[test]
fn a_provider_is_named_when_something_is_said_of_it() {
    let text = "[providers.groq]\ntimeout = '5m'\n[providers.xai]\n[providers.mistral]\nkind = 'mistral'\n";
    let config = load(text, &[("RUNWIRE__PROVIDERS__COHERE__TIMEOUT", "1m")], &[]).unwrap();
    let named = config.providers.iter().filter(|(_, it)| it.is_named);
    let named: Vec<&str> = named.map(|(name, _)| &**name).collect();
    assert_eq!(named, ["cohere", "groq"]);
}

#[test]
fn paths_are_relative_to_the_file_and_the_data_directory_follows_xdg() {
    let config = load("[server.tls]\ncert = 'c.pem'\nkey = '/k.pem'\n", &[], &[]).unwrap();
    let cert = config.server.tls.cert.unwrap();
    assert!(cert.is_absolute() && cert.ends_with("c.pem"));
    assert_eq!(config.server.tls.key, Some(PathBuf::from("/k.pem")));

    for (variables, expected) in [
        (
            &[("XDG_DATA_HOME", "/x"), ("HOME", "/h")][..],
            Some("/x/runwire"),
        ),
        (
            &[("XDG_DATA_HOME", "x"), ("HOME", "/h")],
            Some("/h/.local/share/runwire"),
        ),
        (&[], None),
    ] {
        let config = load("", variables, &[]).unwrap();
        assert_eq!(config.store.data_dir, expected.map(PathBuf::from));
    }
}

#[test]
fn what_is_shown_loads_again_to_the_same() {
    let text = "[server]\ndrain = '90s'\nmax_request = '1GiB'\n[models.aliases]\n'a b' = 'script:x'\n\
                [providers.mine]\nkind = 'openai'\nbase_url = 'http://x/v1'\n\
                [providers.mine.options]\nkeep_alive = '5m'\nn = [1, 2]\n\
                [providers.mine.options.deep]\nx = 1.5\n";
    let first = load(text, &[], &[]).unwrap();
    let second = load(&first.to_toml(), &[], &[]).unwrap();
    assert_eq!(first.to_toml(), second.to_toml());
    assert!(
        first
            .to_toml()
            .contains("\n[providers.mine.options.deep]\nx = 1.5\n")
    );
    assert_eq!(second.server.drain, Duration::from_secs(90));
}

#[test]
fn a_new_token_is_known_by_its_entry() {
    let grant = Grant {
        tenant: "acme".to_owned(),
        scopes: vec!["runs.read".to_owned()],
        host_tools: vec!["acme.*".to_owned()],
        use_tools: Vec::new(),
    };
    let (token, entry) = new_token("billing", &grant).unwrap();
    assert!(!entry.contains(token.expose()));
    let tokens = tokens::parse("tokens.toml".as_ref(), &entry).unwrap();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].sha256, hash_of(token.expose()));
    assert_eq!(&*tokens[0].principal.name, "billing");
    assert!(tokens[0].principal.host_tools == ["acme.*"]);
    assert_ne!(new_token("billing", &grant).unwrap().0, token);
}

#[test]
fn every_wrong_entry_of_a_tokens_file_is_named_and_no_token_is_shown() {
    let hash = "0".repeat(64);
    let text = format!(
        "[[token]]\nname = 'a'\nsha256 = 'rw_the-token-itself'\nscopes = ['everything']\n\n\
         [[token]]\nname = 'b'\nsha256 = '{hash}'\n[[token]]\nname = 'c'\nsha256 = '{hash}'\n\
         [[token]]\ntoken = 'rw_the-token-itself'\n"
    );
    let problems = tokens::parse("tokens.toml".as_ref(), &text)
        .unwrap_err()
        .to_string();
    for expected in [
        "tokens.toml:1: token[0].scopes: \"everything\" is not one of completions, ",
        "tokens.toml:1: token[0].sha256: is 64 hexadecimal digits (value not shown)",
        "tokens.toml:9: token[2] is the same token as token[1]",
        "tokens.toml:13: token[3].token: secrets do not stand in the configuration",
    ] {
        assert!(problems.contains(expected), "{expected}\nin\n{problems}");
    }
    assert!(!problems.contains("rw_the"), "{problems}");
}

#[test]
fn the_documentation_has_every_key_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let document = fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once("<!-- reference -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of reference -->").unwrap();
    let reference = Config::reference();
    let expected = format!(
        "{before}<!-- reference -->\n```toml\n{reference}```\n<!-- end of reference -->{after}"
    );
    if Environment::of_process().get("UPDATE_GOLDEN") == Some("1") {
        fs::write(path, &expected).unwrap();
        return;
    }
    assert_eq!(
        document, expected,
        "UPDATE_GOLDEN=1 writes docs/configuration.md anew"
    );
}
