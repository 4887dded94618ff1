//! What models can be shown.

use std::sync::Arc;

use super::{
    Book, Hosted,
    registry::Offered,
    seat::{Role, Stream},
};
use crate::{
    domain::{
        principal::Tenant,
        tool::{HostedTool, ToolBinding, ToolSpec, ToolTarget},
    },
    run::port::Offer,
};

impl<S: Clone, I: Clone> Book<S, I> {
    /// The definitions behind bindings of hosts.
    ///
    /// # Errors
    /// The index of the first one that nobody has registered.
    pub(in crate::toolhost) fn offer(
        &self,
        tenant: &Tenant,
        bindings: &[ToolBinding],
    ) -> Result<Vec<Offer>, usize> {
        let hosted = self.tenants.get(tenant);
        bindings
            .iter()
            .enumerate()
            .filter_map(|(binding, bound)| {
                let spec = match &bound.target {
                    ToolTarget::Attached(spec) => Some(Arc::clone(spec)),
                    ToolTarget::Subagent(subagent) => Some(Arc::clone(&subagent.tool)),
                    ToolTarget::Hosted(wanted) => hosted.and_then(|h| self.look_up(h, wanted)),
                    // Others know these.
                    ToolTarget::Mcp(_) => return None,
                };
                Some(spec.map(|spec| Offer { spec, binding }).ok_or(binding))
            })
            .collect()
    }

    /// The youngest definition that fits and is offered, else the last one that was.
    fn look_up(&self, hosted: &Hosted, wanted: &HostedTool) -> Option<Arc<ToolSpec>> {
        let is_offered = |offered: &Offered| {
            let any_host = wanted.host_id.is_none() && wanted.host_labels.is_empty();
            any_host
                || offered.hosts.iter().any(|key| {
                    self.seats.get(key).is_some_and(|seat| match &seat.role {
                        Role::Host(host) => {
                            wanted.host_id.as_ref().is_none_or(|id| *id == host.host_id)
                                && host.has_labels(&wanted.host_labels)
                        }
                        Role::Attached(_) => false,
                    })
                })
        };
        hosted
            .registry
            .versions(&wanted.name)
            .iter()
            .filter(|offered| {
                let version = &offered.spec.version;
                wanted.version.as_ref().is_none_or(|v| v == version)
            })
            .filter(|offered| is_offered(offered))
            .max_by_key(|offered| offered.born)
            .map(|offered| &offered.spec)
            .or_else(|| hosted.registry.remembered(wanted))
            .cloned()
    }

    /// What is offered now by hosts that can be reached, by name and version, and by how many.
    pub(in crate::toolhost) fn list(&self, tenant: &Tenant) -> Vec<(Arc<ToolSpec>, usize)> {
        let Some(hosted) = self.tenants.get(tenant) else {
            return Vec::new();
        };
        let is_open = |key: &u64| {
            self.seats
                .get(key)
                .is_some_and(|seat| matches!(seat.stream, Stream::Open { .. }))
        };
        let mut tools: Vec<_> = hosted
            .registry
            .iter()
            .map(|offered| {
                let open = offered.hosts.iter().filter(|key| is_open(key)).count();
                (offered, open)
            })
            .filter(|(_, open)| *open > 0)
            .collect();
        tools.sort_by(|(a, _), (b, _)| {
            (&a.spec.name, &a.spec.version).cmp(&(&b.spec.name, &b.spec.version))
        });
        tools
            .into_iter()
            .map(|(offered, open)| (Arc::clone(&offered.spec), open))
            .collect()
    }
}
