//! The shared files `config` and `credentials`.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Using shared config and credentials files" and "Format of
//! the config file". A line that is indented belongs to a setting with settings of its own, of which none
//! is of interest here.

use std::collections::BTreeMap;

/// A profile's settings. They may be keys: nothing shows them.
pub(super) type Settings = BTreeMap<String, String>;

/// The profiles of both files by name.
#[derive(Default)]
pub(super) struct Profiles(BTreeMap<String, Settings>);

impl Profiles {
    /// Reads the text of both files. What stands in `credentials` wins.
    pub(super) fn parse(config: &str, credentials: &str) -> Self {
        let mut profiles = Self::default();
        profiles.read(config, |section| match section {
            "default" => Some(section),
            // Sections of other kinds hold no profiles.
            _ => section.strip_prefix("profile").and_then(|rest| {
                let name = rest.trim_start();
                (name.len() < rest.len()).then_some(name)
            }),
        });
        profiles.read(credentials, |section| Some(section));
        profiles
    }

    /// The profile of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Settings> {
        self.0.get(name)
    }

    fn read(&mut self, text: &str, name_of: fn(&str) -> Option<&str>) {
        let mut profile = None;
        for line in text.lines() {
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if let Some(section) = line.strip_prefix('[') {
                let section = section.split(']').next().unwrap_or_default().trim();
                profile = name_of(section).map(str::to_owned);
                if let Some(name) = &profile {
                    self.0.entry(name.clone()).or_default();
                }
            } else if let (Some(name), Some((key, value))) = (&profile, line.split_once('=')) {
                let settings = self.0.entry(name.clone()).or_default();
                let key = key.trim().to_ascii_lowercase();
                settings.insert(key, without_comment(value).trim().to_owned());
            }
        }
    }
}

/// A value without what is said about it: a comment has white space in front of it.
fn without_comment(value: &str) -> &str {
    let starts = [" #", " ;", "\t#", "\t;"].map(|start| value.find(start));
    let end = starts.into_iter().flatten().min();
    value.get(..end.unwrap_or(value.len())).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_from_both_files_and_keys_from_the_second_win() {
        let config = "# a comment\n[default]\nregion = eu-west-1 # here\naws_access_key_id = old\n\
                      s3 =\n  region = nowhere\n\n[profile team]\nRole_ARN=arn:x\n\
                      source_profile = default\n[sso-session team]\nregion = elsewhere\n[other]\nx = 1\n";
        let credentials =
            "[default]\naws_access_key_id=new\n[plain]\naws_access_key_id = p ; mine\n";
        let profiles = Profiles::parse(config, credentials);
        let get = |profile: &str, key: &str| profiles.get(profile)?.get(key).map(|text| &**text);
        assert_eq!(get("default", "region"), Some("eu-west-1"));
        assert_eq!(get("default", "aws_access_key_id"), Some("new"));
        assert_eq!(get("team", "role_arn"), Some("arn:x"));
        assert_eq!(get("team", "region"), None);
        assert_eq!(get("plain", "aws_access_key_id"), Some("p"));
        assert!(profiles.get("other").is_none());
    }

    #[test]
    fn what_is_no_file_of_profiles_holds_none() {
        for text in ["", "{\"a\":1}", "[", "a=b", "[]\n=\n=x"] {
            assert!(Profiles::parse(text, "").get("default").is_none());
        }
    }
}
