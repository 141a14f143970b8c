use std::any::TypeId;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::body::Body;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::params::{Pairs, PathValues};

/// What a function can ask for as an argument.
///
/// ```
/// use fdk::{Call, Error, FromCall, StatusCode};
///
/// struct ApiKey(String);
///
/// impl FromCall for ApiKey {
///     fn from_call(call: &Call) -> fdk::Result<Self> {
///         let key = call.header("x-api-key");
///         key.map(|key| Self(key.to_owned()))
///             .ok_or_else(|| Error::missing("x-api-key").with_status(StatusCode::UNAUTHORIZED))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing a function can take from a call",
    note = "arguments are `String`, `Bytes`, `Json<T>`, `Form<T>`, `Path<T>`, `Query<T>`, \
            `Header<T>`, `State<T>`, `Extension<T>`, `Bind<T>`, `Ndjson<T>`, `Streamed<T>`, `Body`, \
            `Call`, `Config`, `Deadline`, `Option` and `Or` of these, or your own `FromCall` types"
)]
pub trait FromCall: Sized {
    /// Whether it takes the body as it comes: a function with such an argument runs before its body
    /// is there. Whoever wraps one of those has to say the same.
    const STREAMS: bool = false;

    /// Whether it takes the body at all. A body that is taken as it comes can be taken only once.
    const READS_BODY: bool = Self::STREAMS;

    /// Takes the argument from the call. The function does not run when this fails; its caller is
    /// told of all arguments that failed.
    ///
    /// # Errors
    ///
    /// The call has no such thing; say so with [`Error::param`], [`Error::missing`] or
    /// [`Error::public`].
    fn from_call(call: &Call) -> Result<Self>;
}

impl FromCall for Call {
    fn from_call(call: &Call) -> Result<Self> {
        Ok(call.clone())
    }
}

/// The body as it came.
impl FromCall for Bytes {
    const READS_BODY: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        Ok(call.body().clone())
    }
}

/// The body as it comes.
impl FromCall for Body {
    const STREAMS: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        Ok(call.take_stream())
    }
}

/// The body as text; 400 when it is not UTF-8.
impl FromCall for String {
    const READS_BODY: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        std::str::from_utf8(call.body())
            .map(str::to_owned)
            .map_err(|error| Error::param("body", format!("is not UTF-8: {error}")))
    }
}

/// A body in JSON: as an argument 400 when it does not fit, as an answer `application/json`.
///
/// A content type that says something else is a 415; one that says nothing of the kind, such as
/// those that curl sends by itself, is not.
///
/// ```
/// use fdk::{App, Json, http};
///
/// let sum = |Json(numbers): Json<Vec<i64>>| Json(numbers.iter().sum::<i64>());
/// let app = App::new().function("sum", http::post("/sum"), sum).test();
/// app.post("/sum").body("[1, 2]").wait().assert_text("3");
/// assert_eq!(app.post("/sum").body("[1,").wait().status(), 400);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromCall for Json<T> {
    const READS_BODY: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        if call.body().is_empty() {
            return Err(Error::param("body", "is empty where JSON is expected").into_absent());
        }
        if let Some(other) = call.content_type().filter(|kind| !may_be_json(kind)) {
            return Err(unsupported(&other, "application/json"));
        }
        serde_json::from_slice(call.body())
            .map(Self)
            .map_err(|error| Error::param("body", format!("is not the JSON expected: {error}")))
    }
}

/// `curl -d` says that all it sends is a form, and many scripts that it is text.
fn may_be_json(kind: &str) -> bool {
    const VAGUE: [&str; 4] = [
        "",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "text/plain",
    ];
    kind == "application/json" || kind.ends_with("+json") || VAGUE.contains(&kind)
}

pub(crate) fn unsupported(kind: &str, expected: &str) -> Error {
    let message = format!("is of content type {kind}, expected {expected}");
    Error::param("body", message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// A body in the encoding of HTML forms.
///
/// ```
/// use fdk::{App, Form, http};
///
/// #[derive(serde::Deserialize)]
/// struct Login {
///     name: String,
/// }
///
/// let login = |Form(login): Form<Login>| login.name;
/// let app = App::new().function("login", http::post("/login"), login).test();
/// app.post("/login").body("name=Ann").wait().assert_text("Ann");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromCall for Form<T> {
    const READS_BODY: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        const FORM: &str = "application/x-www-form-urlencoded";
        match call.content_type() {
            Some(kind) if kind != FORM => return Err(unsupported(&kind, FORM)),
            _ => {}
        }
        if call.body().is_empty() {
            let error = Error::param("body", "is empty where a form is expected");
            return Err(error.into_absent());
        }
        T::deserialize(Pairs::parse(call.body()))
            .map(Self)
            .map_err(|misfit| misfit.into_error("body", false))
    }
}

/// The parameters of the route: one value, a tuple of several, or a struct with their names.
///
/// ```
/// use fdk::{App, Path, http};
///
/// let area = |Path((width, height)): Path<(u32, u32)>| (width * height).to_string();
/// let app = App::new().function("area", http::get("/{width:int}/by/{height:int}"), area).test();
/// app.get("/3/by/4").wait().assert_text("12");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromCall for Path<T> {
    fn from_call(call: &Call) -> Result<Self> {
        T::deserialize(PathValues(call.params()))
            .map(Self)
            .map_err(|misfit| misfit.into_error("path", call.params().is_empty()))
    }
}

/// The fields of the query: a struct, or a map.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Page {
///     #[serde(default)]
///     page: u32,
///     sort: Option<String>,
///     #[serde(default)]
///     tag: Vec<String>, // ?tag=a&tag=b
/// }
///
/// fn list(fdk::Query(page): fdk::Query<Page>) -> String {
///     format!("page {} of {:?}, by {:?}", page.page, page.tag, page.sort)
/// }
/// # let _ = fdk::App::new().function("list", fdk::http::get("/list"), list);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromCall for Query<T> {
    fn from_call(call: &Call) -> Result<Self> {
        let query = call.query().unwrap_or_default();
        T::deserialize(Pairs::parse(query.as_bytes()))
            .map(Self)
            .map_err(|misfit| misfit.into_error("query", query.is_empty()))
    }
}

/// A type that is read from a header of its own.
///
/// ```
/// struct Version(u32);
///
/// impl fdk::FromHeader for Version {
///     const NAME: &'static str = "x-version";
///
///     fn from_header(value: &str) -> fdk::Result<Self> {
///         Ok(Self(value.parse()?))
///     }
/// }
///
/// fn old(fdk::Header(version): fdk::Header<Version>) -> String {
///     (version.0 < 3).to_string()
/// }
/// let app = fdk::App::new().function("old", fdk::http::get("/old"), old).test();
/// let answer = app.get("/old").header("x-version", "two").wait();
/// assert_eq!(answer.text(), r#"{"error":"x-version: invalid digit found in string","details":[{"param":"x-version","message":"invalid digit found in string"}]}"#);
/// ```
pub trait FromHeader: Sized {
    /// The header's name, in any case.
    const NAME: &'static str;

    /// Reads the value, or says what is wrong with it.
    ///
    /// # Errors
    ///
    /// Of any error the caller is told the text, with the header's name and status 400, for it is
    /// about what he sent. One that says otherwise, by [`Error::public`] or a status of its own, is
    /// answered as everywhere else.
    fn from_header(value: &str) -> Result<Self>;
}

/// A header with a type.
///
/// See [`FromHeader`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header<T>(pub T);

impl<T: FromHeader> FromCall for Header<T> {
    fn from_call(call: &Call) -> Result<Self> {
        let Some(value) = call.headers().get(T::NAME) else {
            return Err(Error::missing(T::NAME));
        };
        let text = value
            .to_str()
            .map_err(|_| Error::param(T::NAME, "is not plain text"))?;
        T::from_header(text).map(Self).map_err(|error| {
            let says_more = error.status() != StatusCode::INTERNAL_SERVER_ERROR;
            if says_more || error.problem().is_some() {
                return error;
            }
            Error::param(T::NAME, error.to_string())
        })
    }
}

/// What [`App::startup`](crate::App::startup) or [`App::state`](crate::App::state) made, shared by
/// all calls of a container.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use fdk::{App, State, http};
///
/// let count = |calls: State<AtomicU32>| (calls.fetch_add(1, Ordering::Relaxed) + 1).to_string();
/// let app = App::new()
///     .state(AtomicU32::new(0))
///     .function("count", http::any("/"), count)
///     .test();
/// app.get("/").wait().assert_text("1");
/// app.get("/").wait().assert_text("2");
/// ```
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> FromCall for State<T> {
    fn from_call(call: &Call) -> Result<Self> {
        Self::find(call.shared())
    }
}

impl<T: Send + Sync + 'static> State<T> {
    pub(crate) fn find(shared: &crate::call::Shared) -> Result<Self> {
        let state = shared.states.get(&TypeId::of::<T>());
        let state = state.and_then(|state| state.clone().downcast().ok());
        state.map(Self).ok_or_else(|| {
            Error::msg(format!(
                "the app has no state of type {}: make it in App::startup or give it to App::state",
                std::any::type_name::<T>()
            ))
        })
    }
}

/// What a layer has found out about the call and put into its
/// [extensions](Call::extensions_mut), such as who makes it.
///
/// Where no layer has, the call is answered with 500: that is the program's fault and not its
/// caller's. `Option<Extension<T>>` is for functions that can do without.
///
/// ```
/// use fdk::{App, Extension, Response, StatusCode, http, layers};
///
/// #[derive(Clone)]
/// struct User(String);
///
/// let app = App::new()
///     .layer(layers::from_fn(|mut call, next| async move {
///         let Some(name) = call.header("x-user").map(str::to_owned) else {
///             return Response::new(StatusCode::UNAUTHORIZED);
///         };
///         call.extensions_mut().insert(User(name));
///         next.run(call).await
///     }))
///     .function("hello", http::get("/hello"), |Extension(user): Extension<User>| {
///         format!("Hello {}", user.0)
///     })
///     .test();
/// app.get("/hello").header("x-user", "Ann").wait().assert_text("Hello Ann");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extension<T>(pub T);

impl<T: Clone + Send + Sync + 'static> FromCall for Extension<T> {
    fn from_call(call: &Call) -> Result<Self> {
        let value = call.extensions().get::<T>().cloned();
        value.map(Self).ok_or_else(|| {
            let message = format!(
                "the call has no extension of type {}: add it in a layer, by call.extensions_mut()",
                std::any::type_name::<T>()
            );
            Error::msg(message).into_absent()
        })
    }
}

/// The settings of the function and its app, which the server puts into the environment.
///
/// ```
/// use fdk::{App, Config, http};
///
/// let greet = |config: Config| config.get("GREETING").unwrap_or_else(|| "Hello".to_owned());
/// let app = App::new().function("greet", http::any("/"), greet).test();
/// app.get("/").wait().assert_text("Hello");
/// ```
#[derive(Debug, Clone)]
pub struct Config(());

impl Config {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// A setting, if there is one of this name.
    pub fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// A setting without which the function cannot work.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn require(&self, name: &str) -> Result<String> {
        let missing = || {
            Error::msg(format!(
                "the setting {name} is missing: fn config function <app> <function> {name} <value>"
            ))
        };
        self.get(name).ok_or_else(missing)
    }
}

impl FromCall for Config {
    fn from_call(_: &Call) -> Result<Self> {
        Ok(Self::new())
    }
}

/// When the server gives up on the call.
///
/// Where the server does not tell, as with `--serve` and in most tests, the call is answered with
/// 500: that is not its caller's fault. `Option<Deadline>` is for functions that can do without.
///
/// ```
/// use fdk::{App, Deadline, http};
///
/// let hurry = |deadline: Deadline| deadline.remaining().is_zero().to_string();
/// let app = App::new().function("hurry", http::any("/"), hurry).test();
/// let late = app.get("/").header("fn_deadline", "2018-06-01T10:00:30Z");
/// late.wait().assert_text("true");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(SystemTime);

impl Deadline {
    pub(crate) fn new(at: SystemTime) -> Self {
        Self(at)
    }

    /// The time itself.
    pub fn at(&self) -> SystemTime {
        self.0
    }

    /// The time left; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        let left = self.0.duration_since(SystemTime::now());
        left.unwrap_or_default()
    }
}

impl FromCall for Deadline {
    fn from_call(call: &Call) -> Result<Self> {
        call.deadline().ok_or_else(|| {
            let message = "the server told no deadline of the call, in its header fn_deadline; \
                           Option<Deadline> does without";
            Error::msg(message).into_absent()
        })
    }
}

/// `None` where the call has no such thing. One that it has but that does not fit is an error all
/// the same.
impl<E: FromCall> FromCall for Option<E> {
    const STREAMS: bool = E::STREAMS;
    const READS_BODY: bool = E::READS_BODY;

    fn from_call(call: &Call) -> Result<Self> {
        match E::from_call(call) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The argument, or its default where the call has no such thing.
///
/// ```
/// use fdk::{Json, Or};
///
/// #[derive(Default, serde::Deserialize)]
/// struct Options {
///     verbose: bool,
/// }
///
/// fn show(Or(Json(options)): Or<Json<Options>>) -> String {
///     options.verbose.to_string()
/// }
/// # let _ = fdk::App::new().function("show", fdk::http::any("/show"), show);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Or<E>(pub E);

impl<E: FromCall + Default> FromCall for Or<E> {
    const STREAMS: bool = E::STREAMS;
    const READS_BODY: bool = E::READS_BODY;

    fn from_call(call: &Call) -> Result<Self> {
        Option::<E>::from_call(call).map(|value| Self(value.unwrap_or_default()))
    }
}
