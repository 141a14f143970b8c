//! Pages of other sites, as browsers let them speak to the server.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::support::{Backend, Example, Gateway, Reply};

const SITE: &str = "https://app.example.com";

async fn preflight(gateway: &Gateway, path: &str, origin: &str) -> Reply {
    let request = gateway
        .client()
        .request(Method::OPTIONS, gateway.url(path))
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type");
    gateway.send(request).await
}

async fn from_a_page(gateway: &Gateway, path: &str, origin: &str) -> Reply {
    let request = gateway.client().get(gateway.url(path));
    gateway.send(request.header("origin", origin)).await
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get("access-control-allow-origin")?;
    Some(origin.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_sites_that_are_named_may_speak_to_every_path() {
    let settings = [
        (
            "FN_API_CORS_ORIGINS",
            "https://x.example, https://app.example.com",
        ),
        ("FN_API_CORS_HEADERS", "Content-Type, Authorization"),
    ];
    let gateway = Gateway::start_with(Backend::Process, &settings).await;
    for path in [
        "/v1/apps",
        "/v2/apps",
        "/r/a/x",
        "/t/a/x",
        "/invoke/x",
        "/version",
    ] {
        let asked = preflight(&gateway, path, SITE).await;
        assert_eq!((asked.status, asked.text().as_str()), (200, ""), "{path}");
        assert_eq!(allowed(&asked.headers), Some(SITE), "{path}");
        let methods = &asked.headers["access-control-allow-methods"];
        assert_eq!(methods, "GET,POST,PUT,PATCH,HEAD,DELETE");
        let headers = &asked.headers["access-control-allow-headers"];
        assert_eq!(headers, "content-type,authorization");

        let answer = from_a_page(&gateway, path, SITE).await;
        assert_eq!(allowed(&answer.headers), Some(SITE), "{path}");
        assert_eq!(
            answer.headers["access-control-expose-headers"],
            "fn-call-id"
        );
        let varies = answer.headers["vary"].to_str().unwrap();
        assert!(varies.contains("origin"), "{varies}");

        let other = from_a_page(&gateway, path, "https://other.example").await;
        assert_eq!(allowed(&other.headers), None, "{path}");
        assert_eq!(other.status, answer.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_lets_pages_of_every_site_in() {
    let settings = [("FN_API_CORS_ORIGINS", "*")];
    let gateway = Gateway::start_with(Backend::Process, &settings).await;
    let asked = preflight(&gateway, "/t/a/x", SITE).await;
    assert_eq!(allowed(&asked.headers), Some("*"));
    assert_eq!(
        asked.headers["access-control-allow-headers"],
        "content-type"
    );
    let answer = from_a_page(&gateway, "/t/a/x", SITE).await;
    assert_eq!(allowed(&answer.headers), Some("*"));
    assert_eq!(answer.text(), "{\"message\":\"App not found\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_is_the_functions_where_no_browser_asks_the_server() {
    for (settings, asks) in [(&[][..], true), (&[("FN_API_CORS_ORIGINS", SITE)], false)] {
        let gateway = Gateway::start_with(Backend::Process, settings).await;
        gateway.function("m", Example::Misbehave, json!({})).await;
        let reply = if asks {
            preflight(&gateway, "/t/t/m", SITE).await
        } else {
            let request = gateway
                .client()
                .request(Method::OPTIONS, gateway.url("/t/t/m"));
            gateway.send(request).await
        };
        assert_eq!(reply.status, 200);
        assert!(
            reply.headers.contains_key("fn-call-id"),
            "the function was called"
        );
        assert_eq!(allowed(&reply.headers), None);
    }
}
