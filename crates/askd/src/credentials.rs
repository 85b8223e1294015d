//! What the CLI uses upstream, and the way in which it gets it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude::environment::{CONFIG_FOLDER, KEY_DESCRIPTOR};
use secrecy::SecretString;
use supervisor::spawn::Secret;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::settings::Settings;

/// Variables that choose a cloud provider, which has credentials of its own.
const CLOUD: [&str; 5] = [
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_MANTLE",
];

/// The provider of models that these settings choose, in the word that OpenTelemetry has for it. What none of its words
/// is for speaks as Anthropic does.
pub fn provider(settings: &Settings) -> &'static str {
    let chosen = |name: &str| settings.child.get(name).is_some();
    if chosen("CLAUDE_CODE_USE_BEDROCK") || chosen("CLAUDE_CODE_USE_MANTLE") {
        "aws.bedrock"
    } else if chosen("CLAUDE_CODE_USE_VERTEX") {
        "gcp.vertex_ai"
    } else {
        "anthropic"
    }
}

/// The CLI's stored login, in its configuration folder.
pub const LOGIN_FILE: &str = ".credentials.json";

/// Where credentials come from.
#[derive(Debug)]
pub struct CredentialSource {
    settings: crate::settings::groups::Credentials,
    login: Option<PathBuf>,
    /// The helper's last answer and when it was given. A tokio mutex, because it is held while the helper runs: runs
    /// that start at the same time share one call.
    last_answer: Mutex<Option<(SecretString, Instant)>>,
}

/// What one run is given.
#[derive(Debug, Default)]
pub struct Granted {
    /// Variables for the child.
    pub environment: Vec<(String, SecretString)>,
    /// A key that goes through a pipe, so that it is in no environment.
    pub secret: Option<Secret>,
    /// A stored login, to be shared in place.
    pub login: Option<PathBuf>,
    /// Every value, to be replaced wherever the CLI repeats it.
    pub values: Vec<SecretString>,
}

/// The helper's answer cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("ASKD_API_KEY_HELPER {0}")]
pub struct HelperError(String);

/// Runs a helper command: gives its output or says what went wrong.
pub trait RunHelper {
    /// Runs `command` in a shell.
    fn run(&self, command: &str) -> impl Future<Output = Result<String, String>> + Send;
}

impl CredentialSource {
    /// `login` is the CLI's own stored login; it is used only if there is nothing else.
    pub fn new(settings: &Settings, login: Option<PathBuf>) -> Self {
        let cloud = Self::names_cloud(settings);
        let login = login.filter(|_| settings.credentials.is_empty() && !cloud);
        Self { settings: settings.credentials.clone(), login, last_answer: Mutex::new(None) }
    }

    /// Whether a cloud provider is chosen, which has credentials of its own.
    pub fn names_cloud(settings: &Settings) -> bool {
        CLOUD.iter().any(|name| settings.child.get(name).is_some())
    }

    /// Whether a stored login is all there is.
    pub fn uses_login(&self) -> bool {
        self.login.is_some()
    }

    /// The CLI replaces the login's file when it refreshes the token, and with it the link in the run's home. The old
    /// token is then worthless, so the new one is kept.
    pub fn keep_login(&self, home: &Path) -> io::Result<()> {
        let Some(login) = &self.login else { return Ok(()) };
        let file = home.join(CONFIG_FOLDER).join(LOGIN_FILE);
        if !fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            return Ok(());
        }
        let text = fs::read(&file)?;
        // A run can write anything here; what is no login must not replace one.
        if serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_err() {
            return Err(io::Error::other("what the run left is no login"));
        }
        // Runs end at the same time, and each needs a file of its own; the home's name is one.
        let mut name = login.clone().into_os_string();
        name.push(home.file_name().unwrap_or_default());
        let mut new = File::options().write(true).create_new(true).mode(0o600).open(&name)?;
        new.write_all(&text)?;
        fs::rename(&name, login)
    }

    /// What the next run is given. `through_pipe`: the CLI reads its key from a descriptor.
    pub async fn grant(&self, through_pipe: bool, helper: &impl RunHelper) -> Result<Granted, HelperError> {
        let mut granted = Granted { login: self.login.clone(), ..Granted::default() };
        let mut variables = self.settings.variables();
        if let Some(command) = &self.settings.api_key_helper {
            variables.retain(|(name, _)| *name != "ANTHROPIC_API_KEY");
            variables.push(("ANTHROPIC_API_KEY", self.ask(command, helper).await?));
        }
        for (name, value) in variables {
            granted.values.push(value.clone());
            if through_pipe && name == "ANTHROPIC_API_KEY" {
                granted.secret = Some(Secret { fd_variable: KEY_DESCRIPTOR.to_owned(), value });
            } else {
                granted.environment.push((name.to_owned(), value));
            }
        }
        Ok(granted)
    }

    async fn ask(&self, command: &str, helper: &impl RunHelper) -> Result<SecretString, HelperError> {
        let mut last_answer = self.last_answer.lock().await;
        if let Some((key, at)) = last_answer.as_ref()
            && is_fresh(*at, self.settings.api_key_helper_ttl)
        {
            return Ok(key.clone());
        }
        let output = helper.run(command).await.map_err(HelperError)?;
        let key = output.trim();
        if key.is_empty() || key.chars().any(char::is_whitespace) {
            return Err(HelperError("must print one key and nothing else".into()));
        }
        let key = SecretString::from(key.to_owned());
        *last_answer = Some((key.clone(), Instant::now()));
        Ok(key)
    }
}

fn is_fresh(at: Instant, ttl: Duration) -> bool {
    at.elapsed() < ttl
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use secrecy::ExposeSecret;

    use super::*;

    struct Helper(AtomicUsize, &'static str);

    impl RunHelper for Helper {
        async fn run(&self, _command: &str) -> Result<String, String> {
            let call = self.0.fetch_add(1, Ordering::SeqCst);
            Ok(self.1.replace('N', &call.to_string()))
        }
    }

    fn settings() -> Settings {
        Settings::for_testing(std::path::Path::new("/nowhere"))
    }

    fn names(granted: &Granted) -> Vec<&str> {
        granted.environment.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[tokio::test]
    async fn a_key_goes_through_the_pipe_where_the_cli_reads_one() {
        let mut settings = settings();
        settings.credentials.anthropic_api_key = Some("sk-test-key".to_owned().into());
        settings.credentials.anthropic_auth_token = Some("token".to_owned().into());
        let source = CredentialSource::new(&settings, None);
        let helper = Helper(AtomicUsize::new(0), "");
        let piped = source.grant(true, &helper).await.unwrap();
        assert_eq!(names(&piped), ["ANTHROPIC_AUTH_TOKEN"]);
        assert_eq!(piped.secret.unwrap().value.expose_secret(), "sk-test-key");
        let plain = source.grant(false, &helper).await.unwrap();
        assert_eq!(names(&plain), ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]);
        assert_eq!(plain.values.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_helper_is_asked_once_until_its_answer_is_old() {
        let mut settings = settings();
        settings.credentials.api_key_helper = Some("print-key".into());
        settings.credentials.api_key_helper_ttl = Duration::from_mins(1);
        let source = CredentialSource::new(&settings, None);
        let helper = Helper(AtomicUsize::new(0), "key-N\n");
        let mut keys = Vec::new();
        for wait in [0, 59, 1] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            keys.push(source.grant(true, &helper).await.unwrap().secret.unwrap().value.expose_secret().to_owned());
        }
        assert_eq!(keys, ["key-0", "key-0", "key-1"]);
        for bad in ["", "two words"] {
            let source = CredentialSource::new(&settings, None);
            assert!(source.grant(true, &Helper(AtomicUsize::new(0), bad)).await.is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cloud_gives_the_provider_its_name() {
        for (name, expected) in [
            ("CLAUDE_CODE_USE_BEDROCK", "aws.bedrock"),
            ("CLAUDE_CODE_USE_MANTLE", "aws.bedrock"),
            ("CLAUDE_CODE_USE_VERTEX", "gcp.vertex_ai"),
            ("CLAUDE_CODE_USE_FOUNDRY", "anthropic"),
            ("AWS_REGION", "anthropic"),
        ] {
            let mut settings = settings();
            settings.child.environment.push((name.into(), "1".to_owned().into()));
            assert_eq!(provider(&settings), expected, "{name}");
        }
    }

    #[test]
    fn a_stored_login_is_used_only_when_there_is_nothing_else() {
        let login = || Some(PathBuf::from("/config/.credentials.json"));
        let mut settings = settings();
        assert!(CredentialSource::new(&settings, login()).uses_login());
        settings.child.environment.push(("CLAUDE_CODE_USE_BEDROCK".into(), "1".to_owned().into()));
        assert!(!CredentialSource::new(&settings, login()).uses_login());
        settings.child.environment.pop();
        settings.credentials.anthropic_api_key = Some("sk-test-key".to_owned().into());
        assert!(!CredentialSource::new(&settings, login()).uses_login());
    }
}
