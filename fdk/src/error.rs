use std::fmt;

use http::StatusCode;
use serde::Serialize;

use crate::response::{IntoResponse, Response};

/// The result of a function, or of [`run`](crate::run).
///
/// ```
/// fn parse(text: &str) -> fdk::Result<u32> {
///     Ok(text.trim().parse()?)
/// }
/// assert_eq!(parse(" 7\n").unwrap(), 7);
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `Ok` with [`Error`] as the error, for closures, whose results the compiler cannot guess.
///
/// ```
/// let later = async |text: String| fdk::Ok(text.parse::<u32>()?.to_string());
/// ```
#[expect(non_snake_case, reason = "it stands for a variant")]
pub fn Ok<T>(value: T) -> Result<T> {
    Result::Ok(value)
}

/// Why a function failed.
///
/// Every `std` error turns into one with `?`. The caller then gets status 500 and no details, and
/// the log gets them all. What a caller may know has to be said with [`public`](Self::public).
///
/// ```
/// use fdk::{Error, StatusCode};
///
/// fn half(text: &str) -> fdk::Result<u32> {
///     let number: u32 = text.parse()?;
///     if number % 2 != 0 {
///         return Err(Error::public(StatusCode::UNPROCESSABLE_ENTITY, "odd numbers have no half"));
///     }
///     Ok(number / 2)
/// }
/// assert!(half("8").is_ok() && half("7").is_err() && half("x").is_err());
/// ```
pub struct Error(Kind);

enum Kind {
    Public(Problem),
    Private {
        status: StatusCode,
        /// There is nothing that could be wrong in another way.
        absent: bool,
        why: Why,
    },
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

enum Why {
    Message(String),
    Source(Boxed),
}

/// What is wrong with a call, as its caller is told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    /// The part of the call that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    /// There is no such part at all.
    #[serde(skip)]
    pub(crate) absent: bool,
}

impl Error {
    /// An error that the caller sees: this status, and `{"error": message}`.
    pub fn public(status: StatusCode, message: impl Into<String>) -> Self {
        Self(Kind::Public(Problem {
            status,
            message: message.into(),
            param: None,
            absent: false,
        }))
    }

    /// An error in one part of the call, such as a header or a field of its query: 400, and the
    /// caller is told the part's name.
    ///
    /// ```
    /// let error = fdk::Error::param("page", "expected a number from 1 on, got 0");
    /// assert_eq!(error.to_string(), "page: expected a number from 1 on, got 0");
    /// ```
    pub fn param(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Kind::Public(Problem {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            param: Some(name.into()),
            absent: false,
        }))
    }

    /// A part of the call is not there. `Option<T>` takes this as `None`, where any other error is
    /// one.
    ///
    /// ```
    /// let error = fdk::Error::missing("x-api-key");
    /// assert_eq!(error.to_string(), "x-api-key: is missing");
    /// ```
    pub fn missing(name: impl Into<String>) -> Self {
        let mut error = Self::param(name, "is missing");
        if let Kind::Public(problem) = &mut error.0 {
            problem.absent = true;
        }
        error
    }

    /// The same error with another status. Of one that is not [public](Self::public) the caller
    /// still learns nothing else.
    ///
    /// ```
    /// use fdk::{App, Error, StatusCode, http};
    ///
    /// let ask = || Err::<(), _>(Error::msg("db-7 is down").with_status(StatusCode::BAD_GATEWAY));
    /// let app = App::new().function("ask", http::get("/"), ask).test();
    /// let answer = app.get("/").wait();
    /// assert_eq!((answer.status().as_u16(), answer.text()), (502, r#"{"error":"bad gateway"}"#));
    /// assert_eq!(answer.fault(), Some("db-7 is down"));
    /// ```
    #[must_use]
    pub fn with_status(mut self, new: StatusCode) -> Self {
        match &mut self.0 {
            Kind::Public(Problem { status, .. }) | Kind::Private { status, .. } => *status = new,
        }
        self
    }

    /// The status with which it is answered: 500 where no other was given.
    pub fn status(&self) -> StatusCode {
        match &self.0 {
            Kind::Public(Problem { status, .. }) | Kind::Private { status, .. } => *status,
        }
    }

    /// An error that only the log sees.
    pub fn msg(message: impl Into<String>) -> Self {
        Self::private(Why::Message(message.into()))
    }

    /// As with `?`, for errors that are none of `std`'s, such as anyhow's, and for boxes of any.
    ///
    /// ```
    /// type Boxed = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// fn work() -> Result<String, Boxed> {
    ///     Err("no database".into())
    /// }
    ///
    /// let error = work().map_err(fdk::Error::new).unwrap_err();
    /// assert_eq!(error.to_string(), "no database");
    /// // And out again, into what a library expects.
    /// assert_eq!(Boxed::from(error).to_string(), "no database");
    /// ```
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::private(Why::Source(error.into()))
    }

    fn private(why: Why) -> Self {
        Self(Kind::Private {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            absent: false,
            why,
        })
    }

    pub(crate) fn into_absent(mut self) -> Self {
        match &mut self.0 {
            Kind::Public(Problem { absent, .. }) | Kind::Private { absent, .. } => *absent = true,
        }
        self
    }

    /// What it was made of, if that was another error.
    pub(crate) fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Private {
                why: Why::Source(error),
                ..
            } => Some(&**error),
            _ => None,
        }
    }

    pub(crate) fn problem(&self) -> Option<&Problem> {
        match &self.0 {
            Kind::Public(problem) => Some(problem),
            Kind::Private { .. } => None,
        }
    }

    /// Whether it says that there is no such thing in the call.
    pub(crate) fn is_absent(&self) -> bool {
        match &self.0 {
            Kind::Public(Problem { absent, .. }) | Kind::Private { absent, .. } => *absent,
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::private(Why::Source(Box::new(error)))
    }
}

impl From<Error> for Box<dyn std::error::Error + Send + Sync> {
    fn from(error: Error) -> Self {
        match error.0 {
            Kind::Private {
                why: Why::Source(error),
                ..
            } => error,
            _ => error.to_string().into(),
        }
    }
}

impl From<Error> for Box<dyn std::error::Error> {
    fn from(error: Error) -> Self {
        Boxed::from(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(param) = &self.param {
            write!(f, "{param}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match &self.0 {
            Kind::Public(problem) => return write!(f, "{problem}"),
            Kind::Private { why, .. } => why,
        };
        match why {
            Why::Message(message) => f.write_str(message),
            Why::Source(error) => {
                write!(f, "{error}")?;
                let mut source = error.source();
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                Result::Ok(())
            }
        }
    }
}

/// The same text as `Display`: this is what a failing `main` prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match &self.0 {
            Kind::Public(problem) => Response::problem(problem),
            Kind::Private { status, .. } => Response::failed(*status, self.to_string()),
        }
    }
}

/// What is wrong with a call, all of it: a caller who is told one thing at a time has to ask
/// again for the next.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    told: Vec<Problem>,
    fault: Option<Error>,
}

impl Problems {
    /// The value; its error is kept.
    pub(crate) fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Result::Ok(value) => return Some(value),
            Err(Error(Kind::Public(problem))) => self.told.push(problem),
            Err(fault) => {
                self.fault.get_or_insert(fault);
            }
        }
        None
    }

    /// The answer, if anything was wrong.
    pub(crate) fn response(self, function: &str) -> Option<Response> {
        if let Some(fault) = self.fault {
            return Some(fault.into_response());
        }
        // Who may not ask at all is told nothing else.
        let refusal = self.told.iter().find(|problem| {
            matches!(
                problem.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            )
        });
        if let Some(refusal) = refusal {
            return Some(Response::problem(refusal));
        }
        match &self.told[..] {
            [] => None,
            [one] => Some(Response::problem(one)),
            [first, rest @ ..] => {
                let same = rest.iter().all(|problem| problem.status == first.status);
                let status = if same {
                    first.status
                } else {
                    StatusCode::BAD_REQUEST
                };
                let count = self.told.len();
                let of = if function.is_empty() {
                    String::new()
                } else {
                    format!(" of function '{function}'")
                };
                let message = format!("cannot read {count} parameters{of}");
                Some(Response::problems(status, &message, &self.told))
            }
        }
    }
}
