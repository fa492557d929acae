//! Modules import only from the layers below them, and the pure ones do not wait.

use std::fs;
use std::path::{Path, PathBuf};

/// Lower layers first; a module may import from the ones before it.
const LAYERS: &[&str] = &[
    "meters",
    "platform",
    "causes",
    "secret",
    "single_flight",
    "oauth",
    "jwt",
    "published",
    "quota",
    "client_documents",
    "private_file",
    "keys",
    "dpop",
    "access_token",
    "caller_assertion",
    "audit",
    "verdicts",
    "policy",
    "multi_auth",
    "jwt_verifier",
    "grant",
    "store",
    "entra",
    "authorization_server",
    "resource_server",
    "on_behalf_of",
    "administration",
    "admin_site",
    "provider",
];

/// Where nothing waits, reads the clock or touches the world.
const PURE: &[&str] = &["oauth", "jwt", "policy", "grant"];

/// Every source file of a module, tests of its own left out.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join(format!("{module}.rs"))];
    let mut folders = vec![root.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && !path.ends_with("tests.rs")
            {
                files.push(path);
            }
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("the file can be read");
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default()
            .to_owned();
        (path, code)
    };
    files.into_iter().map(read).collect()
}

#[test]
fn imports_point_downwards() {
    for (level, module) in LAYERS.iter().enumerate() {
        for (path, code) in sources(module) {
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                // Macros are named from the root, wherever they stand.
                .filter(|line| !line.contains("::store_conformance!"));
            for target in lines.flat_map(|line| line.split("crate::").skip(1)) {
                let name = target
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap();
                let below = LAYERS[..=level].contains(&name) || name == "VerifiedToken";
                assert!(
                    below,
                    "{} imports {name}, which lies above it",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_module_has_its_layer() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared = lib
        .lines()
        .filter_map(|line| line.split("mod ").nth(1)?.strip_suffix(';'));
    let mut declared: Vec<_> = declared.collect();
    let mut layers = LAYERS.to_vec();
    declared.sort_unstable();
    layers.sort_unstable();
    assert_eq!(declared, layers);
}

#[test]
fn pure_modules_do_not_wait() {
    for (path, code) in PURE.iter().flat_map(|module| sources(module)) {
        for word in ["async ", ".await", "tokio::", "std::fs"] {
            assert!(!code.contains(word), "{} holds `{word}`", path.display());
        }
    }
}
