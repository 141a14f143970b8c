use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::manifest::error::{ManifestError, show, show_text};
use crate::config::manifest::field::{Fields, annotations, config, headers, scalar};
use crate::config::manifest::indexing::{Indexing, indexing};
use crate::config::manifest::name::{NAME_RULE, check_name, is_path, is_trigger_name};
use crate::config::manifest::tree::{MAX_MANIFEST_BYTES, read_mapping};
use crate::config::manifest::version::Version;
use crate::model::{
    Annotations, Config, Format, InvocationType, MAX_IDLE_TIMEOUT_SECS, MAX_MEMORY_MB,
    MAX_TIMEOUT_SECS, METHODS_ANNOTATION, Methods, MilliCpus, Pattern, SCALE_ANNOTATION,
    STREAMING_ANNOTATION, Scale,
};

/// The only versioned schema that Fn ever had.
const SCHEMA_VERSION: u64 = 20_180_708;
/// Longest time an asynchronous call may run, in seconds (Fn's limit).
const MAX_ASYNC_TIMEOUT_SECS: u32 = 3600;
/// File names in the order in which they are looked for.
const FILE_NAMES: [&str; 3] = ["func.yaml", "func.yml", "func.json"];

const COMMON_KEYS: [&str; 21] = [
    "schema_version",
    "name",
    "version",
    "runtime",
    "entrypoint",
    "cmd",
    "build",
    "build_image",
    "run_image",
    "content_type",
    "type",
    "format",
    "streaming",
    "scale",
    "timeout",
    "idle_timeout",
    "memory",
    "config",
    "annotations",
    "expects",
    "tests",
];
const ROUTE_KEYS: [&str; 3] = ["path", "cpus", "headers"];
const FUNCTION_KEYS: [&str; 5] = [
    "triggers",
    "indexing",
    "functions",
    "deploy",
    "signing_details",
];

/// What a function folder says about itself; every value is within its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Also the last part of the image's name.
    pub name: String,
    /// In front of the name in the image's name, where the file gives one (`owner/name`).
    pub owner: Option<String>,
    /// Missing in a file that was never deployed.
    pub version: Option<Version>,
    /// As written; which ones can be built is for the build to say.
    pub runtime: Option<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// Shell commands to run before the build.
    pub build: Vec<String>,
    pub build_image: Option<String>,
    pub run_image: Option<String>,
    /// Content type of calls made by tools; the server does not look at it.
    pub content_type: Option<String>,
    pub kind: InvocationType,
    pub format: Format,
    /// Whether the file names the format; what it does not name need not be sent.
    pub format_given: bool,
    /// As far as the file says, like the next two: a deploy leaves the rest as it is.
    pub timeout_secs: Option<u32>,
    pub idle_timeout_secs: Option<u32>,
    pub memory_mb: Option<u64>,
    pub config: Config,
    pub annotations: Annotations,
    pub expects: Vec<ExpectedConfig>,
    pub deployment: Deployment,
    /// Where the image is to be asked for its functions.
    pub indexing: Option<Indexing>,
}

/// What the folder is deployed as.
#[derive(Clone, Debug, PartialEq)]
pub enum Deployment {
    /// A route of the v1 API: a file without `schema_version`.
    Route {
        path: String,
        cpus: Option<MilliCpus>,
        headers: BTreeMap<String, Vec<String>>,
    },
    /// A function of the v2 API with its triggers.
    Function { triggers: Vec<TriggerSpec> },
}

/// An HTTP trigger that the folder wants.
#[derive(Clone, Debug, PartialEq)]
pub struct TriggerSpec {
    pub name: String,
    pub source: String,
    pub annotations: Annotations,
}

/// A configuration value that the function cannot do without, or can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedConfig {
    pub name: String,
    pub required: bool,
}

impl Manifest {
    /// Parses the YAML of a function in the folder `dir_name`, which gives the name and the path
    /// where the file does not.
    pub fn parse(text: &str, dir_name: &str) -> Result<Self, ManifestError> {
        Self::parse_file(text, dir_name, FILE_NAMES[0])
    }

    /// As [`Self::parse`]; `file` stands in the errors, and `.json` at its end means JSON.
    pub fn parse_file(text: &str, dir_name: &str, file: &str) -> Result<Self, ManifestError> {
        let mapping = read_mapping(text, file)?;
        let versioned = mapping.contains_key("schema_version");
        let own_keys = if versioned {
            &FUNCTION_KEYS[..]
        } else {
            &ROUTE_KEYS[..]
        };
        if let Some(key) = FUNCTION_KEYS.iter().find(|key| mapping.contains_key(**key))
            && !versioned
        {
            return Err(ManifestError::Unversioned {
                file: file.to_owned(),
                key,
            });
        }
        let mut allowed = [&COMMON_KEYS[..], own_keys].concat();
        // Ignored there with a warning: the image declares its paths.
        if versioned && mapping.contains_key("indexing") {
            allowed.push("path");
        }
        let mut fields = Fields::new(file, String::new(), mapping, &allowed)?;
        if versioned {
            schema_version(&mut fields)?;
        }
        manifest(&mut fields, dir_name, versioned)
    }

    /// Finds and parses the file of the folder `dir`; gives its name, its text and its content.
    pub fn find(dir: &Path) -> Result<(&'static str, String, Self), ManifestError> {
        for file in FILE_NAMES {
            let Some(text) = read_bounded(&dir.join(file), file)? else {
                continue;
            };
            // The folder's own name, also where it is called `..` or reached through a link.
            let absolute = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
            let dir_name = absolute
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let manifest = Self::parse_file(&text, &dir_name, file)?;
            return Ok((file, text, manifest));
        }
        Err(ManifestError::NotFound {
            dir: dir.display().to_string(),
        })
    }
}

/// The file's text, `None` where there is no such file; a huge one is refused unread.
pub(in crate::config) fn read_bounded(
    path: &Path,
    file: &str,
) -> Result<Option<String>, ManifestError> {
    let failed = |source| ManifestError::Read {
        path: path.display().to_string(),
        source,
    };
    let size = match std::fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if size > MAX_MANIFEST_BYTES as u64 {
        return Err(ManifestError::TooLarge {
            file: file.to_owned(),
            size,
            max: MAX_MANIFEST_BYTES,
        });
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

fn schema_version(fields: &mut Fields<'_>) -> Result<(), ManifestError> {
    let value = fields.take("schema_version").unwrap_or_default();
    if value.as_u64() == Some(SCHEMA_VERSION) {
        Ok(())
    } else {
        Err(fields.refuse("schema_version", &show(&value), "20180708, or no such key"))
    }
}

fn manifest(
    fields: &mut Fields<'_>,
    dir_name: &str,
    versioned: bool,
) -> Result<Manifest, ManifestError> {
    let (owner, name) = name(fields, dir_name, versioned)?;
    let kind = kind(fields, versioned)?;
    let (format, format_given) = format(fields, versioned)?;
    let longest = match kind {
        InvocationType::Sync => MAX_TIMEOUT_SECS,
        InvocationType::Async => MAX_ASYNC_TIMEOUT_SECS,
    };
    let expected = "three numbers such as 0.0.1";
    let manifest = Manifest {
        version: fields.parsed("version", expected, |text| text.parse().ok())?,
        runtime: fields.text("runtime", "rust or docker")?,
        entrypoint: words(fields, "entrypoint")?,
        cmd: words(fields, "cmd")?,
        build: fields.texts("build")?,
        build_image: fields.text("build_image", "the name of an image")?,
        run_image: fields.text("run_image", "the name of an image")?,
        content_type: fields.text("content_type", "a content type such as text/plain")?,
        timeout_secs: seconds(fields, "timeout", longest)?,
        idle_timeout_secs: seconds(fields, "idle_timeout", MAX_IDLE_TIMEOUT_SECS)?,
        memory_mb: fields.number("memory", 1..=MAX_MEMORY_MB, "megabytes")?,
        config: config(fields, "config")?,
        annotations: {
            let annotations = with_streaming(fields, format)?;
            with_scale(fields, annotations, format)?
        },
        expects: expects(fields)?,
        indexing: indexing(fields)?,
        deployment: if versioned {
            function(fields)?
        } else {
            route(fields, dir_name)?
        },
        name,
        owner,
        kind,
        format,
        format_given,
    };
    Ok(manifest)
}

fn name(
    fields: &mut Fields<'_>,
    dir_name: &str,
    versioned: bool,
) -> Result<(Option<String>, String), ManifestError> {
    let text = match fields.text("name", NAME_RULE)? {
        Some(text) => text,
        None if check_name(dir_name).is_ok() => dir_name.to_owned(),
        None => return Err(fields.missing("name", NAME_RULE)),
    };
    let (owner, name) = match text.rsplit_once('/') {
        // A function of the v2 API is found by its name, which an owner is no part of.
        Some((owner, name)) if !versioned => (Some(owner), name),
        _ => (None, text.as_str()),
    };
    let owner_fits = owner.is_none_or(|owner| owner.split('/').all(|p| check_name(p).is_ok()));
    if check_name(name).is_err() || !owner_fits {
        return Err(fields.refuse("name", &show_text(&text), NAME_RULE));
    }
    Ok((owner.map(str::to_owned), name.to_owned()))
}

fn kind(fields: &mut Fields<'_>, versioned: bool) -> Result<InvocationType, ManifestError> {
    let expected = if versioned {
        "sync (async is for files without schema_version)"
    } else {
        "sync or async"
    };
    let kind = fields.parsed("type", expected, |text| {
        let kind: InvocationType = text.parse().ok()?;
        (kind == InvocationType::Sync || !versioned).then_some(kind)
    })?;
    Ok(kind.unwrap_or(InvocationType::Sync))
}

/// A file that names no format means what its era meant by that.
fn format(fields: &mut Fields<'_>, versioned: bool) -> Result<(Format, bool), ManifestError> {
    let expected = format!("one of {}", Format::ALL.map(Format::as_str).join(", "));
    let given = fields.parsed("format", &expected, |text| text.parse().ok())?;
    let of_its_era = if versioned {
        Format::HttpStream
    } else {
        Format::Default
    };
    Ok((given.unwrap_or(of_its_era), given.is_some()))
}

/// The annotations, and among them whether request bodies are passed on as they come.
fn with_streaming(fields: &mut Fields<'_>, format: Format) -> Result<Annotations, ManifestError> {
    let mut annotations = annotations(fields)?;
    let expected = if format.streams() {
        "true or false"
    } else {
        "false: only http and http-stream carry bodies as they come"
    };
    let streaming = fields.parsed("streaming", expected, |text| match text {
        "true" if format.streams() => Some(true),
        "false" => Some(false),
        _ => None,
    })?;
    if let Some(streaming) = streaming {
        let value = serde_json::Value::from(streaming.to_string());
        annotations.insert(STREAMING_ANNOTATION.to_owned(), value);
    }
    Ok(annotations)
}

/// The annotations, and among them how many containers there are to be.
fn with_scale(
    fields: &mut Fields<'_>,
    mut annotations: Annotations,
    format: Format,
) -> Result<Annotations, ManifestError> {
    if fields.has("scale") {
        let map = fields.mapping("scale")?;
        let scale = Fields::new(fields.file(), "scale.".to_owned(), map, &Scale::KEYS)?;
        annotations.insert(SCALE_ANNOTATION.to_owned(), scale.into_json()?);
    }
    match Scale::for_format(&annotations, format) {
        Ok(_) => Ok(annotations),
        Err(error) => {
            let key = ["scale", &error.key].join(if error.key.is_empty() { "" } else { "." });
            Err(fields.refuse(&key, &error.value, error.expected))
        }
    }
}

fn seconds(fields: &mut Fields<'_>, key: &str, longest: u32) -> Result<Option<u32>, ManifestError> {
    let given = fields.number(key, 1..=u64::from(longest), "seconds")?;
    Ok(given.and_then(|seconds| u32::try_from(seconds).ok()))
}

/// A command as Fn writes it: words with spaces between them, or a list.
fn words(fields: &mut Fields<'_>, key: &str) -> Result<Vec<String>, ManifestError> {
    match fields.take(key) {
        None => Ok(Vec::new()),
        Some(serde_yaml::Value::Sequence(items)) => items
            .iter()
            .map(|item| scalar(item).ok_or_else(|| fields.refuse(key, &show(item), "text")))
            .collect(),
        Some(value) => match scalar(&value) {
            Some(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            None => Err(fields.refuse(key, &show(&value), "a command")),
        },
    }
}

fn expects(fields: &mut Fields<'_>) -> Result<Vec<ExpectedConfig>, ManifestError> {
    // Kept by old tools beside the function; nothing here runs them.
    fields.take("tests");
    let file = fields.file();
    let map = fields.mapping("expects")?;
    let mut outer = Fields::new(file, "expects.".to_owned(), map, &["config"])?;
    let mut expected = Vec::new();
    for mut item in outer.items("config", &["name", "required"])? {
        let rule = "the name of a configuration value";
        let Some(name) = item.text("name", rule)? else {
            return Err(item.missing("name", rule));
        };
        let required = item.parsed("required", "true or false", |text| text.parse().ok())?;
        expected.push(ExpectedConfig {
            name,
            required: required.unwrap_or(false),
        });
    }
    Ok(expected)
}

const PATH_RULE: &str = "a path that starts with / and has no spaces, :, ? or #";

fn route(fields: &mut Fields<'_>, dir_name: &str) -> Result<Deployment, ManifestError> {
    let path = match fields.text("path", PATH_RULE)? {
        Some(path) if is_path(&path) => path,
        Some(path) => return Err(fields.refuse("path", &show_text(&path), PATH_RULE)),
        None => {
            let path = format!("/{dir_name}");
            if !is_path(&path) {
                return Err(fields.missing("path", PATH_RULE));
            }
            path
        }
    };
    let rule = "cores such as 0.5, or thousandths of a core such as 500m, up to 1024 cores";
    Ok(Deployment::Route {
        path,
        cpus: fields.parsed("cpus", rule, |text| text.parse().ok())?,
        headers: headers(fields)?,
    })
}

fn function(fields: &mut Fields<'_>) -> Result<Deployment, ManifestError> {
    // Settings of the hosted product.
    fields.take("deploy");
    fields.take("signing_details");
    let mut triggers: Vec<TriggerSpec> = Vec::new();
    let (mut names, mut sources) = (BTreeSet::new(), BTreeSet::new());
    let keys = ["name", "type", "source", "methods", "annotations"];
    for mut item in fields.items("triggers", &keys)? {
        let trigger = trigger(&mut item)?;
        if !names.insert(trigger.name.clone()) {
            let expected = "a name that no other trigger has";
            return Err(item.refuse("name", &show_text(&trigger.name), expected));
        }
        if !sources.insert(trigger.source.clone()) {
            let expected = "a source that no other trigger has";
            return Err(item.refuse("source", &show_text(&trigger.source), expected));
        }
        triggers.push(trigger);
    }
    Ok(Deployment::Function { triggers })
}

fn trigger(item: &mut Fields<'_>) -> Result<TriggerSpec, ManifestError> {
    let rule = "letters, digits, -, _, . or ~";
    let name = match item.text("name", rule)? {
        Some(name) if is_trigger_name(&name) => name,
        Some(name) => return Err(item.refuse("name", &show_text(&name), rule)),
        None => return Err(item.missing("name", rule)),
    };
    item.parsed("type", "http", |text| (text == "http").then_some(()))?;
    let source = match item.text("source", PATH_RULE)? {
        Some(source) if source.contains(['{', '}']) => match Pattern::parse(&source) {
            Ok(_) => source,
            Err(error) => {
                let expected = format!("a path whose parameters are like {{id}}: {error}");
                return Err(item.refuse("source", &show_text(&source), expected));
            }
        },
        Some(source) if is_path(&source) => source,
        Some(source) => return Err(item.refuse("source", &show_text(&source), PATH_RULE)),
        None => return Err(item.missing("source", PATH_RULE)),
    };
    let methods = item.texts("methods")?;
    let mut annotations = annotations(item)?;
    if !methods.is_empty() {
        let methods = Methods::parse(methods.iter().map(String::as_str))
            .map_err(|error| item.refuse("methods", &error.found, error.expected))?;
        annotations.extend(methods.to_annotation().map(|value| {
            let key = METHODS_ANNOTATION.to_owned();
            (key, value)
        }));
    }
    Ok(TriggerSpec {
        name,
        source,
        annotations,
    })
}
