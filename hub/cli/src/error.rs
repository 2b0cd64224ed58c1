//! What can go wrong for a person, with the exit code and what to do next.

/// A command that did not work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The runtime did not start.
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
    /// No usable kubeconfig.
    #[error("no front door to talk to")]
    Kubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A request failed.
    #[error("cannot {doing}")]
    Request {
        /// What was tried.
        doing: String,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// No such object.
    #[error("{what} not found")]
    NotFound {
        /// The object.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The person's input is wrong.
    #[error("{field}: {message}")]
    Input {
        /// Which argument.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Something took too long.
    #[error("{0}")]
    TimedOut(String),
    /// The object is not in a state for this.
    #[error("{0}")]
    State(String),
}

impl CliError {
    /// A failed request.
    pub(crate) fn request(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Request {
            doing,
            source: Box::new(source),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kubeconfig(_) => Some(
                "name the front door's kubeconfig with --kubeconfig FILE or KUBECONFIG".to_owned(),
            ),
            Self::NotFound { hint, .. } => (!hint.is_empty()).then(|| hint.clone()),
            Self::Request { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.code == 403 => {
                    Some("ask for the RBAC verb named above at the front door".to_owned())
                }
                kube::Error::Api(_) => None,
                _ => Some("is the front door up, and is this its kubeconfig?".to_owned()),
            },
            Self::Runtime(_) | Self::Input { .. } | Self::TimedOut(_) | Self::State(_) => None,
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 3,
            Self::Input { .. } => 2,
            _ => 1,
        }
    }
}
