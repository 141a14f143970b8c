//! What the OpenAPI documents say beyond the handlers' own annotations.

use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{
    Content, HeaderBuilder, KnownFormat, ObjectBuilder, OpenApi, PathItem, Ref, RefOr,
    ResponseBuilder, SchemaFormat, Type,
};

/// Declares `$new` as the schema of a `$body` that has the members which a create cannot do
/// without. An update takes the same type with all of them optional.
macro_rules! requires {
    ($new:ident, $body:ty, $name:literal, [$($member:literal),+]) => {
        requires!(@ $new, $body, $name, utoipa::openapi::ObjectBuilder::new()$(.required($member))+);
    };
    ($new:ident, $body:ty, $name:literal, $outer:literal => [$($member:literal),+]) => {
        requires!(@ $new, $body, $name, utoipa::openapi::ObjectBuilder::new().property(
            $outer,
            utoipa::openapi::ObjectBuilder::new()$(.required($member))+,
        ));
    };
    (@ $new:ident, $body:ty, $name:literal, $members:expr) => {
        struct $new;

        impl utoipa::PartialSchema for $new {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::AllOfBuilder::new()
                    .item(utoipa::openapi::Ref::from_schema_name($name))
                    .item($members)
                    .into()
            }
        }

        impl utoipa::ToSchema for $new {
            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
            ) {
                use utoipa::PartialSchema as _;
                schemas.push(($name.to_owned(), <$body>::schema()));
                <$body as utoipa::ToSchema>::schemas(schemas);
            }
        }
    };
}

pub(super) use requires;

/// Adds the answers that follow from what an operation takes: a body can be bad or too large, a
/// list's query can be bad, what a path names can be missing, a change can be asked for by a page
/// that may not, and the store can fail any of them.
pub(super) fn complete(mut document: OpenApi, error: &str) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for (writes, operation) in operations(item) {
            // Handlers of several files have one name; generated clients need one for each.
            let tag = operation.tags.iter().flatten().next();
            if let (Some(tag), Some(name)) = (tag, &operation.operation_id) {
                operation.operation_id = Some(format!("{tag}_{name}"));
            }
            let names = |place| {
                let parameters = operation.parameters.iter().flatten();
                parameters
                    .filter_map(|parameter| match parameter {
                        RefOr::T(parameter) => Some(parameter),
                        RefOr::Ref(_) => None,
                    })
                    .any(|parameter| parameter.parameter_in == place)
            };
            let (path, query) = (names(ParameterIn::Path), names(ParameterIn::Query));
            let body = operation.request_body.is_some();
            for (status, text, said) in [
                (
                    "400",
                    "The request says something that is not allowed.",
                    body || query,
                ),
                ("403", "A page of a site that is not allowed asks.", writes),
                ("404", "What the path names is not there.", path),
                ("408", "The body stopped coming.", body),
                ("413", "The body is too large.", body),
                ("500", "What is stored cannot be read.", true),
                ("503", "The store is unavailable.", true),
                ("507", "The disk of the store is full.", writes),
            ] {
                if said && !operation.responses.responses.contains_key(status) {
                    let response = refusal(text, error, status == "503");
                    operation
                        .responses
                        .responses
                        .insert(status.to_owned(), response.into());
                }
            }
        }
    }
    document
}

/// Each operation, and whether it changes anything.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    [
        (false, &mut item.get),
        (true, &mut item.put),
        (true, &mut item.post),
        (true, &mut item.delete),
        (true, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(writes, operation)| Some((writes, operation.as_mut()?)))
}

fn refusal(text: &str, error: &str, later: bool) -> utoipa::openapi::Response {
    let content = Content::new(Some(Ref::from_schema_name(error)));
    let response = ResponseBuilder::new()
        .description(text)
        .content("application/json", content);
    if !later {
        return response.build();
    }
    let seconds = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)));
    let header = HeaderBuilder::new()
        .schema(Some(seconds))
        .description(Some("Seconds to wait before trying again."))
        .build();
    response.header("Retry-After", header).build()
}
