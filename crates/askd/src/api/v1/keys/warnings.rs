//! What may be a mistake in the policy of a key, and is none for sure: it is told, and the key is made all the same. What a
//! policy means depends on the server, whose folders and settings change.

use std::sync::Arc;
use std::time::Duration;

use claude::permission_mode::PermissionMode;

use crate::app::App;
use crate::aside::Gate;
use crate::keys::Policy;

/// Looks whether folders are there. A mount that does not answer must not hold up the answer.
static LOOKS: Gate = Gate::new(2, Duration::from_secs(5), 1 << 20);

/// A sentence for each part that may be a mistake; it begins with the field.
pub(super) async fn warnings(app: &App, policy: &Policy) -> Vec<String> {
    let mut warnings: Vec<_> = policy.unknown_tools().map(|what| format!("policy.tools: {what}")).collect();
    warnings.extend(without_read(policy));
    let modes = policy.permission_modes.as_deref().unwrap_or_default();
    if modes.contains(&PermissionMode::BypassPermissions) && !app.settings().permissions.allow_bypass {
        let message = "bypassPermissions is not allowed on this server, whatever a policy says (ASKD_ALLOW_BYPASS)";
        warnings.push(format!("policy.permission_modes: {message}"));
    }
    warnings.extend(folders(app, policy).await);
    warnings
}

/// Tools that change files want to have read them, and are kept from files that may not be read (checked).
fn without_read(policy: &Policy) -> Option<String> {
    let has = |name: &str| policy.tools.as_ref().is_some_and(|tools| tools.iter().any(|tool| tool == name));
    let crippled = ["Edit", "NotebookEdit", "Write"].into_iter().find(|tool| has(tool) && !has("Read"))?;
    Some(format!("policy.tools: `{crippled}` changes no file that is there without `Read`, which is not in the list"))
}

/// Folders that are not there now; they may be made later.
async fn folders(app: &App, policy: &Policy) -> Vec<String> {
    let of_field = |field: &'static str| move |name: &String| (field, name.clone());
    let named = policy.workspaces.iter().flatten().map(of_field("policy.workspaces"));
    let named: Vec<_> = named.chain(policy.write_root.iter().map(of_field("policy.write_root"))).collect();
    if named.is_empty() {
        return Vec::new();
    }
    let workspaces = Arc::clone(&app.runs().shared().workspaces);
    let look = move || {
        let missing = named.into_iter().filter_map(|(field, name)| {
            let error = workspaces.folder(&name).err()?;
            let shown: String = name.chars().take(60).collect();
            Some(format!("{field}: `{shown}` {error}"))
        });
        missing.collect()
    };
    let unseen = "policy.workspaces: the workspace root did not answer in time; nobody knows what is there";
    LOOKS.run(look).await.unwrap_or_else(|_| vec![unseen.to_owned()])
}
