//! The layers of the crate: a module imports from its own layer or from lower ones, and the core does no I/O.
//!
//! The sources are read as text: comments and literals are blanked out, the rest is cut into words and marks, and every
//! path in it, `use` trees included, is resolved against the module that it stands in. No module graph is built, so
//! what stands behind a feature or in a test module counts as well.

use std::fs;
use std::path::Path;

/// Layer by layer, what may be a module at the crate's root. A new module is entered here first.
const LAYERS: [&[&str]; 8] = [
    &["hash", "encoding", "ed25519", "ml_dsa"],
    &["merkle", "map"],
    &["tlog"],
    &["soul", "registry", "verify"],
    &["storage", "log", "clock", "metrics", "keyfile", "ml_dsa_signer"],
    &["node", "wire"],
    &["client", "audit", "witness", "mirror", "monitor"],
    &["http", "config", "cli"],
];

/// Layers below this one are the core.
const FIRST_OUTSIDE_CORE: usize = 4;

/// What the core does not name: files, networks, clocks, processes, runtimes, randomness, derived JSON.
const NOT_IN_CORE: [&[&str]; 14] = [
    &["aws_lc_rs"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
    &["getrandom"],
    &["rand"],
    &["rustix"],
    &["serde"],
    &["serde_json"],
    &["tokio"],
];

/// What a module must not name though its layer would allow it: the engine serves entries of any kind.
const STRANGERS: [(&str, &[&str]); 1] = [("log", &["soul", "registry"])];

/// Macros at the crate's root, which are no modules.
const ROOT_MACROS: [&str; 1] = ["id32"];

#[test]
fn every_module_keeps_to_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(&root.join("src"), &mut sources);
    assert!(sources.len() > 10, "found {} sources", sources.len());
    let mut violations = Vec::new();
    for path in &sources {
        let source = fs::read_to_string(path).expect("a source that can be read");
        let name = path.strip_prefix(root).expect("a path below the root").display().to_string();
        violations.extend(check(&name, &source));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn collect(dir: &Path, sources: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory that can be listed") {
        let path = entry.expect("an entry that can be read").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    sources.sort();
}

/// The violations of one source, each as `path:line: what`.
fn check(path: &str, source: &str) -> Vec<String> {
    let file = module_of(path);
    let tokens = tokens(&blank(source));
    let mut found = Vec::new();
    let mut report = |line: usize, what: String| found.push(format!("{path}:{line}: {what}"));
    let Some(own) = file.first() else {
        // `main.rs` is a program of its own, and `lib.rs` says what modules there are.
        if path.ends_with("lib.rs") {
            undeclared(&tokens, &mut report);
        }
        return found;
    };
    let Some(own_layer) = layer_of(own) else {
        report(1, format!("module `{own}` is in no layer"));
        return found;
    };
    for used in paths(&tokens, &file) {
        if let Used::Crate(segments) = &used.what {
            match segments.first().map(|name| (name, layer_of(name))) {
                None => report(used.line, "imports the whole crate: no layer can be told".into()),
                Some((name, None)) if ROOT_MACROS.contains(&name.as_str()) => {}
                Some((name, None)) => report(used.line, format!("`{name}` is in no layer")),
                Some((name, Some(layer))) if layer > own_layer => {
                    report(used.line, format!("`{own}` (L{own_layer}) imports `{name}` (L{layer})"));
                }
                Some(_) => {}
            }
        }
        if let Used::Extern(segments) = &used.what
            && own_layer < FIRST_OUTSIDE_CORE
            && let Some(banned) = NOT_IN_CORE.iter().find(|banned| overlap(banned, segments, used.imports))
        {
            report(used.line, format!("`{own}` is of the core and names `{}`", banned.join("::")));
        }
    }
    for (_, strangers) in STRANGERS.iter().filter(|(module, _)| module == own) {
        for token in tokens.iter().filter(|token| strangers.contains(&token.text.as_str())) {
            report(token.line, format!("`{own}` names `{}`", token.text));
        }
    }
    found.dedup();
    found
}

/// Reports the modules of `lib.rs` that are in no layer.
fn undeclared(tokens: &[Token], report: &mut impl FnMut(usize, String)) {
    for pair in tokens.windows(2).filter(|pair| pair[0].text == "mod") {
        let name = &pair[1].text;
        if layer_of(name).is_none() {
            report(pair[1].line, format!("module `{name}` is in no layer"));
        }
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Whether a path names what is banned, or something in it; an import also if it brings a module that holds it.
fn overlap(banned: &[&str], path: &[String], imports: bool) -> bool {
    let same = banned.iter().zip(path).all(|(banned, segment)| banned == segment);
    same && (path.len() >= banned.len() || imports)
}

/// The module that a file is, from the crate's root: `src/log/open.rs` is `log::open`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).expect("a source below src/");
    let mut segments: Vec<_> = path.split('/').map(String::from).collect();
    if matches!(segments.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        segments.pop();
    }
    segments
}

// --- paths ---

/// A path that a source names, in a `use` tree or anywhere else.
struct NamedPath {
    line: usize,
    imports: bool,
    what: Used,
}

/// Where a path leads.
enum Used {
    /// Into this crate: segments from its root.
    Crate(Vec<String>),
    /// Somewhere else: segments as written.
    Extern(Vec<String>),
}

/// All paths of two segments or more, and all imports.
fn paths(tokens: &[Token], file: &[String]) -> Vec<NamedPath> {
    let mut found = Vec::new();
    // Names and depths of the inline modules that are open.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let (mut at, mut depth) = (0, 0);
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|(_, opened)| *opened == depth);
            }
            "mod" if text(tokens, at + 2) == "{" => inline.push((tokens[at + 1].text.clone(), depth)),
            word => {
                let imports = word == "use" && text(tokens, at + 1) != "<";
                let start = at + usize::from(imports);
                let begins = is_word(word) && text(tokens, at + 1) == "::" && !continues(tokens, at);
                if imports || begins {
                    let module: Vec<_> =
                        file.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone())).collect();
                    let mut written = Vec::new();
                    at = tree(tokens, start, &[], &mut written);
                    found.extend(written.into_iter().map(|(line, path)| resolve(line, imports, path, &module)));
                    continue;
                }
            }
        }
        at += 1;
    }
    found
}

/// Whether what stands here goes on with a path that began before it; a leading `::` is no part of one.
fn continues(tokens: &[Token], at: usize) -> bool {
    let back = |steps| at.checked_sub(steps).map_or("", |at| text(tokens, at));
    back(1) == "::" && (is_word(back(2)) || back(2) == ">")
}

/// Reads a path or a tree of them from `at` on, and returns the place behind it.
fn tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    if text(tokens, at) == "::" {
        at += 1;
    }
    loop {
        match text(tokens, at) {
            "{" => {
                at += 1;
                while !matches!(text(tokens, at), "}" | "") {
                    at = tree(tokens, at, &path, found);
                    // An alias, and the comma.
                    while !matches!(text(tokens, at), "," | "}" | "") {
                        at += 1;
                    }
                    at += usize::from(text(tokens, at) == ",");
                }
                return at + 1;
            }
            "*" => at += 1,
            word if is_word(word) => {
                path.push(word.into());
                at += 1;
                if text(tokens, at) == "::" && (is_word(text(tokens, at + 1)) || "{*".contains(text(tokens, at + 1))) {
                    at += 1;
                    continue;
                }
            }
            _ => {}
        }
        found.push((line, path));
        return at;
    }
}

/// Where a written path leads from a module.
fn resolve(line: usize, imports: bool, mut path: Vec<String>, module: &[String]) -> NamedPath {
    let from_here = matches!(path.first().map(String::as_str), Some("self" | "super"));
    let from_root = matches!(path.first().map(String::as_str), Some("crate" | "soulchain"));
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    if !from_here && !from_root {
        return NamedPath { line, imports, what: Used::Extern(path) };
    }
    let mut absolute = if from_here { module.to_vec() } else { Vec::new() };
    for segment in path {
        match segment.as_str() {
            "crate" | "soulchain" | "self" => {}
            "super" => drop(absolute.pop()),
            _ => absolute.push(segment),
        }
    }
    NamedPath { line, imports, what: Used::Crate(absolute) }
}

// --- words and marks ---

struct Token {
    line: usize,
    text: String,
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| &token.text)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (line, code) in (1..).zip(code.split('\n')) {
        let mut rest = code.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let len = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                word => word,
            };
            found.push(Token { line, text: rest[..len].into() });
            rest = rest[len..].trim_start();
        }
    }
    found
}

/// The source with comments, strings and characters replaced by spaces; lines stay where they are.
fn blank(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let in_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let len = comment_len(rest).or_else(|| literal_len(rest, in_word));
        let (hidden, kept) = (len.unwrap_or(0), first.len_utf8());
        if hidden > 0 {
            out.extend(rest[..hidden].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[hidden..];
        } else {
            out.push(first);
            rest = &rest[kept..];
        }
    }
    out
}

fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let mut at = if rest.starts_with("/*") { 2 } else { return None };
    let mut depth = 1;
    while depth > 0 {
        let next = rest[at..].find("/*").map(|found| (found, 1));
        let end = rest[at..].find("*/").map(|found| (found, -1));
        let Some((found, step)) = next.into_iter().chain(end).min() else { return Some(rest.len()) };
        at += found + 2;
        depth += step;
    }
    Some(at)
}

fn literal_len(rest: &str, in_word: bool) -> Option<usize> {
    let prefix =
        if in_word { 0 } else { ["br", "cr", "b", "c", "r"].map(|p| prefix_len(rest, p)).into_iter().max()? };
    let body = &rest[prefix..];
    if rest[..prefix].ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inner = body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let len = inner.find(&end).map_or(inner.len(), |found| found + end.len());
        return Some(prefix + hashes + 1 + len);
    }
    if body.starts_with('"') {
        return Some(prefix + quoted_len(body, '"'));
    }
    // A lifetime has no second quote behind one character.
    let mut chars = body.strip_prefix('\'')?.chars();
    let is_char = chars.next()? == '\\' || chars.next()? == '\'';
    is_char.then(|| prefix + quoted_len(body, '\''))
}

/// The length of a prefix of literals, if it is one here.
fn prefix_len(rest: &str, prefix: &str) -> usize {
    let behind = rest.strip_prefix(prefix).unwrap_or_default();
    let opens = behind.starts_with(['"', '\'']) || (prefix.ends_with('r') && behind.starts_with('#'));
    if opens { prefix.len() } else { 0 }
}

fn quoted_len(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

// --- the check is checked ---

/// What is reported of a source, without its path.
fn reported(path: &str, source: &str) -> Vec<String> {
    check(path, source).iter().map(|report| report.strip_prefix(path).expect("the path first").to_owned()).collect()
}

#[test]
fn an_import_of_a_higher_layer_is_found_however_it_is_written() {
    let sources = [
        "\nuse crate::tlog::Note;",
        "\nuse crate::{hash, tlog::Note};",
        "\nuse crate::{\nhash::{self, Hash}, encoding as e, tlog::{self, Note as N}};",
        "\nuse {crate::tlog as t};",
        "\nfn f(_: crate::tlog::Note) {}",
        "\nfn f(_: Vec<crate::tlog::Note>) { g::<crate::hash::Hash>() }",
        "\nlet x = <crate::tlog::Note as Default>::default();",
        "\nuse super::super::tlog;",
        "\nuse super::{super::tlog::Note, node};",
        "\nuse self::super::super::tlog::Note;",
        "\nmod tests {\nuse super::*; use super::super::super::tlog::Note; }",
        "\nmod a { mod b {} }\nuse super::super::tlog;",
        "\nuse soulchain::tlog::Note;",
        "\nuse ::soulchain::tlog::Note;",
        "\n#[cfg_attr(test, derive(crate::tlog::Derive))] struct S;",
        "\npub use crate::tlog::*;",
        "\nlet c = '\"'; use crate::tlog; let d = '\"';",
        "\nlet c = \"\\\"\"; use crate::tlog; // \"",
        "\nfn f<'a>(x: &'a str) { use crate::tlog::Note; }",
        "\nlet s = r#\"\"a\"\"#; use crate::tlog::Note; let r#type = 1;",
        "\n/* /* */ */ use crate::tlog::Note;",
        "\nmacro_rules! m { () => { $crate::tlog::Note }; }",
    ];
    for source in sources {
        let found = reported("src/merkle/proof.rs", source);
        let [report] = &found[..] else { panic!("{source}: {found:?}") };
        assert!(report.ends_with("`merkle` (L1) imports `tlog` (L2)"), "{source}: {report}");
    }
    assert_eq!(reported("src/hash.rs", "\n\nuse super::map;"), [":3: `hash` (L0) imports `map` (L1)"]);
    assert_eq!(reported("src/map/mod.rs", "use super::soul;"), [":1: `map` (L1) imports `soul` (L3)"]);
    let lines = reported("src/merkle/proof.rs", "use crate::{\n  hash,\n  tlog,\n  soul,\n};");
    assert_eq!(lines, [":3: `merkle` (L1) imports `tlog` (L2)", ":4: `merkle` (L1) imports `soul` (L3)"]);
}

#[test]
fn what_is_allowed_or_only_looks_like_an_import_is_not_reported() {
    let sources = [
        "use crate::hash::Hash; use crate::map; use super::{node, super::hash}; use crate::id32;",
        "// use crate::tlog;\n/// [`crate::tlog::Note`]\n/* crate::tlog */",
        "const A: &str = \"crate::tlog\"; const B: &str = r#\"\" crate::tlog::Note\"#; const C: &[u8] = b\"crate::tlog\";",
        "pub(crate) fn tlog() {} pub(in crate::merkle) fn f() {}",
        "mod tests { use super::*; use super::super::node; }",
        "mod a { mod b { use super::super::c; } } use super::node;",
        "use std::time::Duration; use core::fmt; fn f<'a>(x: &'a str) -> std::io::Result<&'a str> { x::fs::y(x) }",
        "fn f() -> impl Sized + use<'static> { let tlog = 1; tlog }",
        "let fs = 1; let tokio = tokio_like::spawn; a::serde::b();",
    ];
    for source in sources {
        assert_eq!(reported("src/merkle/proof.rs", source), Vec::<String>::new(), "{source}");
    }
    assert_eq!(reported("src/main.rs", "use soulchain::cli; use std::env;"), Vec::<String>::new());
    assert_eq!(reported("src/cli/serve.rs", "use crate::{http, hash}; use tokio::net; use std::fs;"), [""; 0]);
}

#[test]
fn what_cannot_be_told_is_reported() {
    for (source, what) in [
        ("use crate::*;", ":1: imports the whole crate: no layer can be told"),
        ("use crate::{self as c};", ":1: imports the whole crate: no layer can be told"),
        ("use super::super::*;", ":1: imports the whole crate: no layer can be told"),
        ("use crate::utils::x;", ":1: `utils` is in no layer"),
    ] {
        assert_eq!(reported("src/merkle/proof.rs", source), [what], "{source}");
    }
    assert_eq!(reported("src/utils.rs", ""), [":1: module `utils` is in no layer"]);
    assert_eq!(
        reported("src/lib.rs", "pub mod hash;\n#[cfg(test)]\nmod helpers;"),
        [":3: module `helpers` is in no layer"]
    );
}

#[test]
fn the_core_names_no_files_clocks_or_runtimes() {
    let sources = [
        ("use std::fs;", "std::fs"),
        ("use std::{io, fs::File};", "std::fs"),
        ("use ::std::fs::File;", "std::fs"),
        ("fn f() { std::fs::read(\"x\"); }", "std::fs"),
        ("use std::net::TcpStream;", "std::net"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        ("use std::time::SystemTime;", "std::time::SystemTime"),
        ("use std::time;", "std::time::Instant"),
        ("use std::time::*;", "std::time::Instant"),
        ("use std::time::{self, Duration};", "std::time::Instant"),
        ("use serde::Serialize;", "serde"),
        ("#[derive(serde::Serialize)] struct S;", "serde"),
        ("#[tokio::test] async fn f() {}", "tokio"),
        ("use tokio;", "tokio"),
        ("use serde_json as json;", "serde_json"),
        ("mod tests { use std::fs; }", "std::fs"),
    ];
    for (source, banned) in sources {
        let wanted = format!(":1: `verify` is of the core and names `{banned}`");
        assert_eq!(reported("src/verify.rs", source), [wanted], "{source}");
        assert_eq!(reported("src/storage/disk.rs", source), [""; 0], "{source}");
    }
}

#[test]
fn the_engine_names_neither_links_nor_the_registry() {
    let found = reported("src/log/open.rs", "use crate::hash;\nuse crate::registry::Fold;\nlet soul = 1; // soul\n");
    assert_eq!(found, [":2: `log` names `registry`", ":3: `log` names `soul`"]);
    assert_eq!(reported("src/node/open.rs", "use crate::registry::Fold;"), [""; 0]);
}
