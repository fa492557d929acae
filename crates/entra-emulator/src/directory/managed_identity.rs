//! Managed identities.

use serde::Deserialize;

use crate::directory::app::App;
use crate::directory::user::AppRoleAssignment;

/// A user-assigned managed identity, which the machine around the emulator may sign in as.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ManagedIdentity {
    /// The tenant it is in, by GUID or domain.
    pub tenant: String,
    /// Its application id.
    pub client_id: String,
    /// The object id of its service principal: the subject of its tokens.
    pub principal_id: String,
    /// Its id as a resource of Azure.
    pub resource_id: String,
    /// What people call it.
    pub name: String,
    /// The roles it has at applications.
    pub app_role_assignments: Vec<AppRoleAssignment>,
}

impl ManagedIdentity {
    /// The service principal as a client. It has no registration of its own.
    pub(crate) fn client(&self) -> App {
        App {
            client_id: self.client_id.clone(),
            service_principal_id: self.principal_id.clone(),
            display_name: self.name.clone(),
            tenant: self.tenant.clone(),
            app_role_assignments: self.app_role_assignments.clone(),
            ..App::default()
        }
    }
}
