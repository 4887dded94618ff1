//! Whether a host may come, and which of its tools are taken.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Book, Effect, Key, registry::Former, seat::Role};
use crate::{
    domain::{
        call::Delivery,
        fault::{Fault, Reason},
        principal::{Principal, Scope},
        tool::{ToolName, ToolSpec},
    },
    toolhost::{Hello, Proposed},
};

/// Tools that were not taken, by name.
pub(super) type Rejected = Vec<(String, Fault)>;

impl<S: Clone, I: Clone> Book<S, I> {
    /// Checks a host before anything is changed. Returns its seat when it is known.
    pub(super) fn admit(&self, principal: &Principal, hello: &Hello) -> Result<Option<Key>, Fault> {
        self.check_hello(&hello.in_flight)?;
        if !principal.has(Scope::ToolsHost) {
            return Err(missing_scope(Scope::ToolsHost));
        }
        let max = self.settings.max_tools_per_host;
        if hello.tools.len() > max {
            let count = hello.tools.len();
            return Err(Fault::invalid(
                "registration.tools",
                format!("{count} tools are too many: a host may have {max}"),
            ));
        }
        let hosts = self.tenants.get(&principal.tenant).map(|t| &t.hosts);
        let known = hosts.and_then(|hosts| hosts.get(&hello.host_id)).copied();
        if let Some(seat) = known.and_then(|key| self.seats.get(&key))
            && seat.principal != principal.name
        {
            return Err(Fault::new(
                Reason::PermissionDenied,
                "this principal may not use this host id",
            ));
        }
        let count = hosts.map_or(0, HashMap::len);
        if known.is_none() && count >= self.settings.max_hosts_per_tenant {
            return Err(Fault::new(
                Reason::ServerOverloaded,
                "the tenant has as many hosts as it may",
            )
            .with("max_hosts", self.settings.max_hosts_per_tenant)
            .retry_after(self.settings.grace));
        }
        Ok(known)
    }

    pub(super) fn check_hello(&self, in_flight: &[Delivery]) -> Result<(), Fault> {
        if self.draining {
            return Err(draining());
        }
        // A host holds a window of calls, and may lack receipts for about as many.
        let max = self.settings.max_window.saturating_mul(2) as usize;
        if in_flight.len() > max {
            let count = in_flight.len();
            return Err(Fault::invalid(
                "in_flight",
                format!("{count} calls are too many: at most {max} are taken"),
            ));
        }
        Ok(())
    }

    /// Replaces a host's tools by those of the proposed ones that can be taken.
    pub(super) fn register(
        &mut self,
        key: Key,
        principal: &Principal,
        tools: Vec<Proposed>,
    ) -> Rejected {
        let mut changed = self.unregister(key);
        let mut rejected = Vec::new();
        for proposed in tools {
            let name = match &proposed {
                Ok(spec) => spec.name.to_string(),
                Err((name, _)) => name.clone(),
            };
            let taken = proposed
                .map_err(|(_, fault)| fault)
                .and_then(|spec| self.register_one(key, principal, &spec));
            match taken {
                Ok(Some(name)) => changed.push(name),
                Ok(None) => {}
                Err(fault) => rejected.push((name, fault)),
            }
        }
        if let Some(seat) = self.seats.get(&key)
            && let Role::Host(host) = &seat.role
        {
            let (tenant, host_id) = (seat.tenant.clone(), host.host_id.clone());
            self.look_again(&tenant, &host_id, &changed);
            self.effects.push_back(Effect::Registered(tenant));
        }
        rejected
    }

    /// Takes one tool; its name, when its definition is new to the tenant.
    fn register_one(
        &mut self,
        key: Key,
        principal: &Principal,
        spec: &Arc<ToolSpec>,
    ) -> Result<Option<ToolName>, Fault> {
        if !principal.may_host(spec.name.as_str()) {
            return Err(Fault::new(
                Reason::PermissionDenied,
                "this principal may not host a tool of this name",
            )
            .with("tool", &spec.name));
        }
        let Some(seat) = self.seats.get_mut(&key) else {
            return Ok(None);
        };
        let (Role::Host(host), Some(hosted)) = (&mut seat.role, self.tenants.get_mut(&seat.tenant))
        else {
            return Ok(None);
        };
        let mine = host.tools.get(&spec.name);
        if mine.is_some_and(|specs| specs.iter().any(|known| known.version == spec.version)) {
            return Err(
                Fault::invalid("tools", "this name and version stands here twice")
                    .with("tool", &spec.name)
                    .with("version", &spec.version),
            );
        }
        let (spec, is_new) = hosted.registry.add((key, &host.host_id), spec)?;
        let name = spec.name.clone();
        host.tools.entry(name.clone()).or_default().push(spec);
        Ok(is_new.then_some(name))
    }

    /// Takes all tools of a host back. Returns the names of definitions that nobody offers any more.
    pub(super) fn unregister(&mut self, key: Key) -> Vec<ToolName> {
        let Some(seat) = self.seats.get_mut(&key) else {
            return Vec::new();
        };
        let (Role::Host(host), Some(hosted)) = (&mut seat.role, self.tenants.get_mut(&seat.tenant))
        else {
            return Vec::new();
        };
        let was = Former {
            host_id: host.host_id.clone(),
            labels: Arc::new(host.labels.clone()),
        };
        std::mem::take(&mut host.tools)
            .into_values()
            .flatten()
            .filter(|spec| hosted.registry.remove(key, spec, &was))
            .map(|spec| spec.name.clone())
            .collect()
    }
}

pub(super) fn missing_scope(scope: Scope) -> Fault {
    Fault::new(Reason::PermissionDenied, "the scope is missing").with("scope", scope.name())
}

pub(super) fn draining() -> Fault {
    Fault::new(Reason::ServerDraining, "the server is shutting down")
        .retry_after(Duration::from_secs(1))
}
