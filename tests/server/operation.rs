//! What operators and tools ask: health, metrics, the description of the interface, cross-origin requests.

use std::collections::BTreeSet;

use serde_json::Value;

use super::agent::Agent;
use super::support::{JSON, Server};

#[test]
fn health_readiness_and_metrics() {
    let server = Server::start();
    let mut agent = Agent::registered(&server, "metered");
    server.append(&[agent.empty()]);
    assert_eq!(server.get("/healthz").text(), "ok\n");
    let ready = server.json("/readyz");
    assert_eq!((ready["ready"].as_bool(), ready["tree_size"].as_u64()), (Some(true), Some(7)));
    let metrics = server.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    for name in [
        "links_total",
        "append_seconds_bucket",
        "http_responses_total",
        "http_connections",
        "tree_size",
        "flushed_size",
        "published_size",
        "identities",
        "pool_entries",
        "latched",
    ] {
        assert!(metrics.text().contains(&format!("\nsoulchain_{name}")), "{name}");
    }
    for line in metrics.text().lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.starts_with("soulchain_"), "{line}");
    }
}

/// A path with its variables filled in, of something that is there.
fn filled(path: &str) -> String {
    path.replace("{agent}", "registrar")
        .replace("{seqno}", "1")
        .replace("{index}", "0")
        .replace("{path}", "entries/000.p/1")
}

#[test]
fn every_route_of_the_document_answers() {
    let server = Server::start();
    // Before it there is no checkpoint to answer with.
    server.published(3);
    let document = server.json("/openapi.json");
    assert_eq!(document, serde_json::from_str::<Value>(&soulchain::http::openapi_json()).unwrap());
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let target = filled(path);
            let query = match path.as_str() {
                "/v1/log/proof/inclusion" => "?index=0",
                "/v1/log/proof/consistency" => "?old=1",
                _ => "",
            };
            // A stream has no end: that it is there is shown by its refusal of a wrong query.
            let query = if path == "/v1/events" { "?no=1" } else { query };
            let answer = server.ask(
                &method.to_uppercase(),
                &format!("{target}{query}"),
                &[("content-type", JSON)],
                (method == "post").then_some(b"{}".as_slice()),
            );
            assert!(!matches!(answer.status, 404 | 405 | 500..), "{method} {path}: {answer:?}");
        }
    }
    // And the other way round: what the design lists is described.
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    let routes = [
        "get /checkpoint",
        "get /tile/{path}",
        "post /v1/links",
        "post /v1/links/prepare",
        "get /v1/agents",
        "get /v1/agents/{agent}",
        "get /v1/agents/{agent}/state",
        "get /v1/agents/{agent}/links",
        "get /v1/agents/{agent}/links/{seqno}",
        "get /v1/agents/{agent}/links/{seqno}/proof",
        "get /v1/agents/{agent}/links/{seqno}/body",
        "delete /v1/agents/{agent}/links/{seqno}/body",
        "get /v1/log",
        "get /v1/log/entries/{index}",
        "get /v1/log/proof/inclusion",
        "get /v1/log/proof/consistency",
        "get /v1/events",
        "get /healthz",
        "get /readyz",
        "get /metrics",
    ];
    for route in routes {
        assert!(described.contains(route), "{route} is not described");
    }
}

#[test]
fn every_route_of_the_source_is_described() {
    let source = include_str!("../../src/http/routes.rs").split("fn described()").nth(1).unwrap();
    let document: Value = serde_json::from_str(&soulchain::http::openapi_json()).unwrap();
    let described: usize =
        document["paths"].as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum();
    let routes = source.matches(".routes(routes!(").count() + source.matches(".route(\"").count();
    assert_eq!(described, routes);
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&soulchain::http::openapi_json()).unwrap();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| &rest[..rest.find('"').unwrap()]) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[test]
fn the_document_can_be_browsed() {
    let server = Server::start();
    let docs = server.get("/docs");
    let target = docs.header("location").unwrap_or("/docs").to_owned();
    let page = server.get(&target);
    assert_eq!(page.status, 200, "{docs:?}");
    assert!(page.text().contains("swagger"), "{}", page.text());
    assert!(!page.text().contains("https://"), "no request to anybody else");
}

#[test]
fn any_page_may_read_and_append() {
    let server = Server::start();
    let read = server.ask("GET", "/v1/log", &[("origin", "https://page.example")], None);
    assert_eq!(read.header("access-control-allow-origin"), Some("*"));
    let headers = [
        ("origin", "https://page.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let preflight = server.ask("OPTIONS", "/v1/links", &headers, None);
    assert_eq!(preflight.status, 200, "{preflight:?}");
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("content-type"));
    // A body is read and erased with a signed request.
    for method in ["GET", "DELETE"] {
        let headers = [
            ("origin", "https://page.example"),
            ("access-control-request-method", method),
            ("access-control-request-headers", "signature,signature-input"),
        ];
        let preflight = server.ask("OPTIONS", "/v1/agents/registrar/links/1/body", &headers, None);
        assert_eq!(preflight.status, 200, "{preflight:?}");
        let listed = |name: &str| preflight.header(name).unwrap().split(',').map(str::trim).collect::<BTreeSet<_>>();
        assert!(listed("access-control-allow-methods").contains(method));
        let allowed = listed("access-control-allow-headers");
        assert!(allowed.is_superset(&["signature", "signature-input"].into()), "{allowed:?}");
    }
    // Problems are readable from there too.
    let refused = server.ask("POST", "/v1/links", &[("origin", "https://page.example")], Some(b"{}"));
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    refused.problem(415, "unsupported");
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    server.published(3);
    for target in ["/checkpoint", "/v1/log", "/tile/0/000.p/3", "/healthz"] {
        let head = server.ask("HEAD", target, &[], None);
        let get = server.get(target);
        assert_eq!((head.status, head.header("content-type")), (200, get.header("content-type")));
    }
}
