//! Who a peer is and what it may do.

use std::{collections::HashMap, ffi::CString, fmt};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What a peer may do; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Ask.
    Reader,
    /// Promise resources.
    Operator,
    /// Change who is in the cluster.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it may do.
    pub role: Role,
    /// For logs and refusals: "uid 1000", "127.0.0.1:4711".
    pub description: String,
}

impl Peer {
    /// This very process: the CLI with its embedded coordinator.
    #[must_use]
    pub fn own_process() -> Self {
        Self { role: Role::Admin, description: "own process".to_owned() }
    }
}

/// A configured group that the system does not know.
#[derive(Debug, thiserror::Error)]
#[error("there is no group '{0}' on this machine; create it or correct the configuration")]
pub struct UnknownGroup(String);

/// Which role a Unix socket's peer gets. Plaintext TCP is always [`Role::Reader`].
///
/// Whoever can open the socket (mode 0660) may at least ask; root and the daemon's own user may do everything.
#[derive(Debug, Clone, Default)]
pub struct RolePolicy {
    by_gid: HashMap<u32, Role>,
}

impl RolePolicy {
    /// From the names of groups.
    ///
    /// # Errors
    /// A name that the user database does not know.
    pub fn from_groups(operator: &[String], admin: &[String]) -> Result<Self, UnknownGroup> {
        let mut by_gid = HashMap::new();
        let named =
            operator.iter().map(|g| (g, Role::Operator)).chain(admin.iter().map(|g| (g, Role::Admin)));
        for (name, role) in named {
            let gid = group_id(name)?;
            by_gid.entry(gid).and_modify(|known: &mut Role| *known = role.max(*known)).or_insert(role);
        }
        Ok(Self { by_gid })
    }

    /// The role of a local user. May ask the user database over the network, so it blocks.
    #[must_use]
    pub fn role_of(&self, uid: u32, gid: u32) -> Role {
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            return Role::Admin;
        }
        if self.by_gid.is_empty() {
            return Role::Reader;
        }
        let groups = supplementary_groups(uid, gid).into_iter().chain([gid]);
        groups.filter_map(|gid| self.by_gid.get(&gid).copied()).max().unwrap_or(Role::Reader)
    }
}

/// The gid of a group's name.
///
/// # Errors
/// The user database does not know it.
pub fn group_id(name: &str) -> Result<u32, UnknownGroup> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) | Err(_) => Err(UnknownGroup(name.to_owned())),
    }
}

/// As the user database has them: SO_PEERCRED only gives the primary group. Unknown users have none.
fn supplementary_groups(uid: u32, gid: u32) -> Vec<u32> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let name = user.and_then(|user| CString::new(user.name).ok());
    let groups = name.and_then(|name| getgrouplist(&name, Gid::from_raw(gid)).ok());
    groups.unwrap_or_default().into_iter().map(Gid::as_raw).collect()
}

/// Refuses a call whose peer may not make it. A request without a peer came in by no known way: refused too.
///
/// # Errors
/// PERMISSION_DENIED with reason ROLE_TOO_LOW.
pub fn require_role<T>(request: &Request<T>, needed: Role) -> Result<(), Status> {
    let peer = request.extensions().get::<Peer>();
    if peer.is_some_and(|peer| peer.role >= needed) {
        return Ok(());
    }
    let (who, role) = peer.map_or(("unknown peer", "no role".to_owned()), |peer| {
        (peer.description.as_str(), format!("role {}", peer.role))
    });
    tracing::warn!(peer = who, role, %needed, "refused a call");
    let message = format!(
        "this call needs role {needed}; you have {role}. Ask over the Unix socket as root or as a member of a group \
         that the daemon's configuration gives this role"
    );
    Err(error_status(Code::PermissionDenied, message, "ROLE_TOO_LOW"))
}

/// A status with ErrorInfo (domain `vmuster`), so that programs need not read the message.
#[must_use]
pub fn error_status(code: Code, message: impl Into<String>, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "vmuster", HashMap::new());
    Status::with_error_details(code, message, details)
}

/// The answer to a call that a later version fills.
#[must_use]
pub fn not_implemented(call: &str) -> Status {
    error_status(Code::Unimplemented, format!("{call} is not built yet in this version"), "NOT_IMPLEMENTED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_admin_and_strangers_only_ask() {
        let policy = RolePolicy::default();
        assert_eq!(policy.role_of(0, 0), Role::Admin);
        assert_eq!(policy.role_of(4_000_000, 4_000_000), Role::Reader);
    }

    #[test]
    fn a_group_gives_its_role() {
        let policy =
            RolePolicy::from_groups(&["daemon".to_owned()], &["bin".to_owned()]).expect("base groups");
        let (daemon, bin) = (group_id("daemon").expect("daemon"), group_id("bin").expect("bin"));
        assert_eq!(policy.role_of(4_000_000, daemon), Role::Operator);
        assert_eq!(policy.role_of(4_000_000, bin), Role::Admin);
        assert!(RolePolicy::from_groups(&["no such group".to_owned()], &[]).is_err());
    }

    #[test]
    fn a_request_without_a_peer_is_refused() {
        let mut request = Request::new(());
        let refused = require_role(&request, Role::Reader).expect_err("no peer");
        assert_eq!(refused.code(), Code::PermissionDenied);
        request.extensions_mut().insert(Peer { role: Role::Reader, description: String::new() });
        assert!(require_role(&request, Role::Reader).is_ok());
        assert!(require_role(&request, Role::Admin).is_err());
    }
}
