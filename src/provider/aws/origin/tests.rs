use std::path::Path;

use super::*;

/// Who the server is by these variables, with a home of its own that holds these files.
struct World {
    home: tempfile::TempDir,
    settings: ProviderSettings,
}

impl World {
    fn new(variables: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut settings = ProviderSettings::default();
        crate::provider::aws::read_environment(&mut settings, &|name: &str| {
            if name == "HOME" {
                return Some(home.path().to_str().unwrap().to_owned());
            }
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        Self { home, settings }
    }

    fn file(self, name: &str, text: &str) -> Self {
        let folder = self.home.path().join(".aws");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        self
    }

    fn parameter(mut self, name: &str, value: &str) -> Self {
        let parameters = &mut self.settings.parameters;
        parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    fn origin(&self) -> Result<Origin, String> {
        Identity::new(&self.settings).origin()
    }
}

fn keys(id: &str) -> Origin {
    Origin::Keys(Keys {
        id: id.to_owned(),
        secret: Secret::new("s"),
        session: None,
    })
}

const ENVIRONMENT: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "environment"),
    ("AWS_SECRET_ACCESS_KEY", "s"),
];
const CREDENTIALS: &str = "[default]\naws_access_key_id = file\naws_secret_access_key = s\n\
                           [team]\naws_access_key_id = team\naws_secret_access_key = s\n";

#[test]
fn the_environment_comes_before_the_files() {
    let world = World::new(&ENVIRONMENT).file("credentials", CREDENTIALS);
    assert_eq!(world.origin().unwrap(), keys("environment"));
    let world = World::new(&[]).file("credentials", CREDENTIALS);
    assert_eq!(world.origin().unwrap(), keys("file"));
}

#[test]
fn a_profile_that_the_operator_names_comes_before_everything() {
    let world = World::new(&ENVIRONMENT).file("credentials", CREDENTIALS);
    let world = world.parameter("profile", "team");
    assert_eq!(world.origin().unwrap(), keys("team"));
    let world = world.parameter("profile", "nobody");
    assert_eq!(world.origin().unwrap_err(), "there is no profile nobody");
}

#[test]
fn the_environment_names_a_profile() {
    let world = World::new(&[("AWS_PROFILE", "team")]).file("credentials", CREDENTIALS);
    assert_eq!(world.origin().unwrap(), keys("team"));
    let missing = World::new(&[("AWS_PROFILE", "gone")]).file("credentials", CREDENTIALS);
    assert_eq!(missing.origin().unwrap_err(), "there is no profile gone");
}

#[test]
fn half_a_key_is_none() {
    let world = World::new(&[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", " ")]);
    assert!(matches!(world.origin().unwrap(), Origin::Machine { .. }));
}

#[test]
fn a_web_identity_comes_before_the_default_profile() {
    let world = World::new(&[
        ("AWS_ROLE_ARN", "arn:r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token"),
        ("AWS_ROLE_SESSION_NAME", "me"),
    ]);
    let expected = Origin::WebIdentity {
        role: "arn:r".to_owned(),
        session: "me".to_owned(),
        token_file: Path::new("/var/token").to_owned(),
    };
    let world = world.file("credentials", CREDENTIALS);
    assert_eq!(world.origin().unwrap(), expected);
}

#[test]
fn a_profile_assumes_its_role_with_the_credentials_of_another() {
    let config = "[default]\nrole_arn = arn:r\nsource_profile = team\nexternal_id = x\n";
    let world = World::new(&[]).file("config", config).file(
        "credentials",
        "[team]\naws_access_key_id=team\naws_secret_access_key=s\n",
    );
    let expected = Origin::Role {
        role: "arn:r".to_owned(),
        session: "runwire".to_owned(),
        external_id: Some("x".to_owned()),
        from: Box::new(keys("team")),
    };
    assert_eq!(world.origin().unwrap(), expected);
}

#[test]
fn profiles_that_stand_on_each_other_are_refused() {
    let config = "[default]\nrole_arn = a\nsource_profile = b\n\
                  [profile b]\nrole_arn = b\nsource_profile = default\n";
    let world = World::new(&[]).file("config", config);
    assert!(world.origin().unwrap_err().contains("too many"));
}

#[test]
fn a_role_takes_its_credentials_from_where_the_profile_says() {
    let config = "[default]\nrole_arn = a\ncredential_source = Ec2InstanceMetadata\n";
    let Origin::Role { from, .. } = World::new(&[]).file("config", config).origin().unwrap() else {
        panic!("no role");
    };
    assert!(matches!(*from, Origin::Machine { .. }));
    let config = "[default]\nrole_arn = a\n";
    assert!(World::new(&[]).file("config", config).origin().is_err());
}

#[test]
fn a_profile_with_a_region_only_leaves_the_search_open() {
    let world = World::new(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")])
        .file("config", "[default]\nregion = eu-west-1\n");
    let expected = Origin::Container {
        url: "http://169.254.170.2/v2/x".to_owned(),
        token: None,
        token_file: None,
    };
    assert_eq!(world.origin().unwrap(), expected);
    let identity = Identity::new(&world.settings);
    assert_eq!(identity.region().unwrap().as_deref(), Some("eu-west-1"));
}

#[test]
fn a_containers_token_is_sent_over_tls_or_to_the_machines_own_agents() {
    for (url, taken) in [
        ("https://example.com/x", true),
        ("http://127.0.0.1:1234/x", true),
        ("http://localhost/x", true),
        ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true),
        ("http://example.com/x", false),
        ("http://169.254.170.2.example.com/x", false),
        ("ftp://localhost/x", false),
        ("nothing", false),
    ] {
        let world = World::new(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        assert_eq!(world.origin().is_ok(), taken, "{url}");
    }
}

#[test]
fn without_the_metadata_service_there_are_none() {
    let world = World::new(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    assert!(world.origin().is_err());
}

#[test]
fn the_region_of_the_environment_comes_before_that_of_the_profile() {
    let world = World::new(&[("AWS_DEFAULT_REGION", "us-east-2")])
        .file("config", "[default]\nregion = eu-west-1\n");
    let region = Identity::new(&world.settings).region().unwrap();
    assert_eq!(region.as_deref(), Some("us-east-2"));
}

#[test]
fn what_the_operator_says_comes_before_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    fs::write(&file, CREDENTIALS).unwrap();
    let said = [
        ("region", "eu-west-1"),
        ("credentials_file", file.to_str().unwrap()),
    ];
    let mut settings = ProviderSettings {
        parameters: said
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..ProviderSettings::default()
    };
    crate::provider::aws::read_environment(&mut settings, &|name: &str| match name {
        "AWS_REGION" => Some("us-east-2".to_owned()),
        "AWS_SHARED_CREDENTIALS_FILE" => Some("/nowhere".to_owned()),
        _ => None,
    });
    let identity = Identity::new(&settings);
    assert_eq!(identity.region().unwrap().as_deref(), Some("eu-west-1"));
    assert_eq!(identity.origin().unwrap(), keys("file"));
}

#[test]
fn nothing_shows_a_key() {
    let world = World::new(&[
        ("AWS_ACCESS_KEY_ID", "id-1"),
        ("AWS_SECRET_ACCESS_KEY", "secret-1"),
        ("AWS_SESSION_TOKEN", "token-1"),
    ]);
    let shown = format!(
        "{:?} {:?} {:?}",
        world.settings.secrets,
        Identity::new(&world.settings),
        world.origin()
    );
    assert!(!shown.contains("-1"), "{shown}");
}
