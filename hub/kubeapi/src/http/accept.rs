//! In which form a client wants its answer: JSON or YAML, whole objects, tables or metadata only.
//!
//! It decides from the `Accept` header alone. Protobuf is never answered: who accepts nothing else
//! gets a 406.

use crate::error::Status;

/// The text form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
}

/// What is shown of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// The object.
    #[default]
    Object,
    /// A table, in `v1` or `v1beta1`.
    Table(&'static str),
    /// Metadata only.
    Metadata(&'static str),
    /// Aggregated discovery, in `v2` or `v2beta1`.
    Discovery(&'static str),
}

/// A negotiated form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accept {
    /// Text form.
    pub format: Format,
    /// What is shown.
    pub shape: Shape,
    /// Indented JSON.
    pub pretty: bool,
}

/// What an endpoint can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Objects only.
    Plain,
    /// Objects, tables and metadata; true = a custom resource.
    Objects(bool),
    /// Discovery documents.
    Discovery,
}

const KNOWN: [&str; 4] = [
    "*/*",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

/// Chooses the first clause, by quality, that can be served.
pub fn negotiate(header: &str, offer: Offer) -> Result<Accept, Status> {
    if header.trim().is_empty() {
        return Ok(Accept::default());
    }
    let mut clauses: Vec<_> = header.split(',').map(Clause::parse).collect();
    // Stable: of equal quality, the first said comes first.
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.quality));
    let known = clauses.iter().any(|clause| KNOWN.contains(&&*clause.media));
    if let Some(accept) = clauses.iter().find_map(|clause| clause.serve(offer)) {
        return Ok(accept);
    }
    Err(refused(known || offer == Offer::Objects(true)))
}

fn refused(known: bool) -> Status {
    let list = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    if known {
        let message = format!("only the following media types are accepted: {list}");
        return Status::new(406, "NotAcceptable", message);
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {list}");
    let mut status = Status::new(406, "NotAcceptable", message);
    status.details = Some(Default::default());
    status
}

struct Clause<'a> {
    media: String,
    quality: u32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let quality = parameters.iter().find(|(key, _)| *key == "q");
        let quality = quality.and_then(|(_, value)| value.parse::<f32>().ok());
        Self {
            media,
            // Thousandths are all that the grammar of qualities has.
            quality: (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32,
            parameters,
        }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.parameters.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| *value)
    }

    fn serve(&self, offer: Offer) -> Option<Accept> {
        let format = match &*self.media {
            "*/*" | "application/json" => Format::Json,
            "application/yaml" => Format::Yaml,
            _ => return None,
        };
        let pretty = self.get("pretty").is_some_and(|value| value != "0");
        let (kind, group, version) = (self.get("as"), self.get("g"), self.get("v"));
        let shape = match (kind, group, version) {
            (None, None, None) => Shape::Object,
            (Some(kind), Some(group), Some(version)) => shape(offer, kind, group, version)?,
            _ => return None,
        };
        Some(Accept {
            format,
            shape,
            pretty,
        })
    }
}

fn shape(offer: Offer, kind: &str, group: &str, version: &str) -> Option<Shape> {
    let meta = || match version {
        "v1" => Some("v1"),
        "v1beta1" => Some("v1beta1"),
        _ => None,
    };
    match (offer, kind, group) {
        (Offer::Objects(_), "Table", "meta.k8s.io") => meta().map(Shape::Table),
        (
            Offer::Objects(_),
            "PartialObjectMetadata" | "PartialObjectMetadataList",
            "meta.k8s.io",
        ) => meta().map(Shape::Metadata),
        (Offer::Discovery, "APIGroupDiscoveryList", "apidiscovery.k8s.io") => match version {
            "v2" => Some(Shape::Discovery("v2")),
            "v2beta1" => Some(Shape::Discovery("v2beta1")),
            _ => None,
        },
        _ => None,
    }
}
