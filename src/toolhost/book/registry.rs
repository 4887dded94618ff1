//! Which definitions a tenant's hosts offer, and which they have offered.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Key,
    seat::{has_labels, is_same},
};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::HostId,
        tool::{HostedTool, ToolName, ToolSpec},
    },
    toolhost::recent::Recent,
};

/// Definitions that are remembered after the last host that offered them has gone, per tenant.
const REMEMBERED: usize = 1024;

/// A tenant's tools.
#[derive(Debug)]
pub(super) struct Registry {
    tools: HashMap<ToolName, Vec<Offered>>,
    gone: Recent<(ToolName, String, HostId), Gone>,
    births: u64,
}

/// A definition and who offers it, never nobody.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) spec: Arc<ToolSpec>,
    pub(super) hosts: Vec<Key>,
    /// Grows with each new definition: of two versions the younger one is offered to models.
    pub(super) born: u64,
}

#[derive(Debug)]
struct Gone {
    spec: Arc<ToolSpec>,
    born: u64,
    labels: Arc<BTreeMap<String, String>>,
}

/// How a definition that a model saw stands now.
#[derive(Debug)]
pub(super) enum Standing<'a> {
    /// These hosts offer it.
    Offered(&'a [Key]),
    /// Nobody offers it, but another one of the same name.
    Changed,
    /// Nobody offers anything of that name.
    Unknown,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            tools: HashMap::new(),
            gone: Recent::new(REMEMBERED),
            births: 0,
        }
    }
}

impl Registry {
    /// How a definition stands.
    pub(super) fn standing(&self, wanted: &Arc<ToolSpec>) -> Standing<'_> {
        let Some(versions) = self.tools.get(&wanted.name) else {
            return Standing::Unknown;
        };
        versions
            .iter()
            .find(|offered| is_same(&offered.spec, wanted))
            .map_or(Standing::Changed, |offered| {
                Standing::Offered(&offered.hosts)
            })
    }

    /// The definitions of a name that are offered now.
    pub(super) fn versions(&self, name: &ToolName) -> &[Offered] {
        self.tools.get(name).map_or(&[], Vec::as_slice)
    }

    /// Adds a host to a definition. Returns the one instance of it that everybody shares, and whether
    /// the definition is new.
    ///
    /// # Errors
    /// `VERSION_CONFLICT` when others offer another definition under the same name and version.
    pub(super) fn add(
        &mut self,
        host: (Key, &HostId),
        spec: &Arc<ToolSpec>,
    ) -> Result<(Arc<ToolSpec>, bool), Fault> {
        let versions = self.tools.entry(spec.name.clone()).or_default();
        let known = versions
            .iter_mut()
            .find(|offered| offered.spec.version == spec.version);
        if let Some(offered) = known {
            if !is_same(&offered.spec, spec) {
                return Err(version_conflict(spec));
            }
            offered.hosts.push(host.0);
            return Ok((Arc::clone(&offered.spec), false));
        }
        // A host that comes back with what it had makes it no younger.
        let place = (spec.name.clone(), spec.version.clone(), host.1.clone());
        let born = match self.gone.remove(&place) {
            Some(gone) if is_same(&gone.spec, spec) => gone.born,
            Some(_) | None => {
                self.births += 1;
                self.births
            }
        };
        versions.push(Offered {
            spec: Arc::clone(spec),
            hosts: vec![host.0],
            born,
        });
        Ok((Arc::clone(spec), true))
    }

    /// Takes a host off a definition and says whether nobody offers it any more. What it offered is
    /// remembered.
    pub(super) fn remove(&mut self, host: Key, spec: &Arc<ToolSpec>, was: &Former) -> bool {
        let Some(versions) = self.tools.get_mut(&spec.name) else {
            return false;
        };
        let Some(at) = versions
            .iter()
            .position(|offered| is_same(&offered.spec, spec))
        else {
            return false;
        };
        let Some(offered) = versions.get_mut(at) else {
            return false;
        };
        offered.hosts.retain(|other| *other != host);
        let born = offered.born;
        let is_gone = offered.hosts.is_empty();
        if is_gone {
            versions.remove(at);
            if versions.is_empty() {
                self.tools.remove(&spec.name);
            }
        }
        self.gone.insert(
            (spec.name.clone(), spec.version.clone(), was.host_id.clone()),
            Gone {
                spec: Arc::clone(spec),
                born,
                labels: Arc::clone(&was.labels),
            },
        );
        is_gone
    }

    /// A definition that fits and that some host has offered before, the latest first.
    pub(super) fn remembered(&self, wanted: &HostedTool) -> Option<&Arc<ToolSpec>> {
        self.gone
            .iter()
            .find(|((name, version, host_id), gone)| {
                *name == wanted.name
                    && wanted.version.as_ref().is_none_or(|v| v == version)
                    && wanted.host_id.as_ref().is_none_or(|id| id == host_id)
                    && has_labels(&gone.labels, &wanted.host_labels)
            })
            .map(|(_, gone)| &gone.spec)
    }

    /// Everything that is offered, with its hosts.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Offered> {
        self.tools.values().flatten()
    }
}

/// What is remembered of a host with its definitions.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) host_id: HostId,
    pub(super) labels: Arc<BTreeMap<String, String>>,
}

fn version_conflict(spec: &ToolSpec) -> Fault {
    Fault::new(
        Reason::VersionConflict,
        "another host offers a different definition under this name and version",
    )
    .with("tool", &spec.name)
    .with("version", &spec.version)
}
