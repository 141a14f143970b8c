//! Conversions from a call's body to types of one's own.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::{Error, Result};
use crate::extract::{FromCall, unsupported};
use crate::params::{Pairs, Text};

/// What a converter made of a body.
///
/// See [`Bind`] for an example.
#[derive(Debug)]
pub enum Conversion<T> {
    /// It does not know this kind of body; the next converter is asked.
    Unhandled,
    /// The value.
    Succeeded(T),
    /// It knows the kind, and this body is not right. No other converter is asked.
    Failed(Error),
}

impl<T, E: Into<Error>> From<Result<T, E>> for Conversion<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Succeeded(value),
            Err(error) => Self::Failed(error.into()),
        }
    }
}

/// A body, and what is known of it.
///
/// See [`Bind`] for an example.
#[derive(Debug)]
pub struct Source<'a>(&'a Call);

impl Source<'_> {
    /// What the body is, in lower case and without parameters; `None` where the caller did not say.
    pub fn content_type(&self) -> Option<String> {
        self.0.content_type()
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        self.0.body()
    }

    /// The call that it came with.
    pub fn call(&self) -> &Call {
        self.0
    }
}

/// A type that knows how to be made of a body. With an empty `impl` it leaves that to the app's
/// converters and the built-in ones.
///
/// ```
/// use fdk::{App, Bind, Conversion, Convert, Source, http};
///
/// #[derive(serde::Deserialize)]
/// struct Csv(Vec<String>);
///
/// impl Convert for Csv {
///     fn convert(source: &Source<'_>) -> Conversion<Self> {
///         let text = String::from_utf8_lossy(source.bytes());
///         Conversion::Succeeded(Self(text.split(',').map(str::to_owned).collect()))
///     }
/// }
///
/// let last = |Bind(Csv(cells)): Bind<Csv>| cells.last().cloned().unwrap_or_default();
/// let app = App::new().function("last", http::post("/"), last).test();
/// app.post("/").body("a,b").wait().assert_text("b");
/// ```
pub trait Convert: Sized {
    /// Asked first.
    fn convert(source: &Source<'_>) -> Conversion<Self> {
        let _ = source;
        Conversion::Unhandled
    }
}

/// A body as a type that [converts](Convert) it.
///
/// The type itself is asked first, then the converters of the [app](crate::App::converter) in
/// their order, then those built in: JSON, forms and text, by the content type. The first that does
/// not leave it to the others decides.
///
/// ```
/// use fdk::{App, Bind, Conversion, Convert, Error, Source, http};
///
/// #[derive(serde::Deserialize)]
/// struct Invoice {
///     total: u32,
/// }
///
/// impl Convert for Invoice {}
///
/// fn csv(source: &Source<'_>) -> Conversion<Invoice> {
///     if source.content_type().as_deref() != Some("text/csv") {
///         return Conversion::Unhandled;
///     }
///     let text = String::from_utf8_lossy(source.bytes());
///     let total = text.trim().parse().map(|total| Invoice { total });
///     total.map_err(|_| Error::param("body", "expected a number")).into()
/// }
///
/// let app = App::new()
///     .converter(csv)
///     .function("bill", http::post("/bill"), |Bind(invoice): Bind<Invoice>| {
///         invoice.total.to_string()
///     });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bind<T>(pub T);

type Converter<T> = Box<dyn Fn(&Source<'_>) -> Conversion<T> + Send + Sync>;

/// The converters of an app, by what they make.
#[derive(Default)]
pub(crate) struct Converters(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Converters {
    pub(crate) fn add<T, F>(&mut self, converter: F)
    where
        T: 'static,
        F: Fn(&Source<'_>) -> Conversion<T> + Send + Sync + 'static,
    {
        let all = self
            .0
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Box::new(Vec::<Converter<T>>::new()));
        if let Some(all) = all.downcast_mut::<Vec<Converter<T>>>() {
            all.push(Box::new(converter));
        }
    }

    fn of<T: 'static>(&self) -> &[Converter<T>] {
        let all = self.0.get(&TypeId::of::<T>());
        all.and_then(|all| all.downcast_ref::<Vec<Converter<T>>>())
            .map_or(&[], Vec::as_slice)
    }
}

impl<T: Convert + DeserializeOwned + 'static> FromCall for Bind<T> {
    const READS_BODY: bool = true;

    fn from_call(call: &Call) -> Result<Self> {
        let source = Source(call);
        let registered = call.shared().converters.of::<T>();
        let strict = call.bound().strict.contains(&TypeId::of::<T>());
        let built_in: [Converter<T>; 1] = [Box::new(built_in)];
        let own: [Converter<T>; 1] = [Box::new(T::convert)];
        let rest = registered.iter().chain(&built_in).filter(|_| !strict);
        for converter in own.iter().chain(rest) {
            match converter(&source) {
                Conversion::Unhandled => {}
                Conversion::Succeeded(value) => return Ok(Self(value)),
                Conversion::Failed(error) => return Err(error),
            }
        }
        if call.body().is_empty() {
            return Err(Error::param("body", "is empty").into_absent());
        }
        let kind = call.content_type().unwrap_or_default();
        Err(unsupported(&kind, "one that a converter knows"))
    }
}

fn built_in<T: DeserializeOwned>(source: &Source<'_>) -> Conversion<T> {
    let body = source.bytes();
    if body.is_empty() {
        return Conversion::Unhandled;
    }
    match source.content_type().as_deref() {
        Some("application/x-www-form-urlencoded") => T::deserialize(Pairs::parse(body))
            .map_err(|misfit| misfit.into_error("body", false))
            .into(),
        Some("text/plain") => match std::str::from_utf8(body) {
            Ok(text) => T::deserialize(Text(text))
                .map_err(|misfit| misfit.into_error("body", false))
                .into(),
            Err(error) => {
                Conversion::Failed(Error::param("body", format!("is not UTF-8: {error}")))
            }
        },
        None => json(body),
        Some(kind) if kind == "application/json" || kind.ends_with("+json") => json(body),
        Some(_) => Conversion::Unhandled,
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Conversion<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::param("body", format!("is not the JSON expected: {error}")))
        .into()
}
