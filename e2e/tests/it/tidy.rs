//! Keeps files, documents and dependency arrows true. Reads the tree as git tracks it; decides
//! nothing about behaviour.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect_file;

/// Longest file without a note in its docs.
const LINES_MAX: usize = 800;

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("e2e lies in the root").to_owned()
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output();
    let output = output.unwrap_or_else(|e| panic!("{program} runs: {e}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("output is text")
}

fn tracked(suffix: &str) -> Vec<String> {
    let listed = run("git", &["ls-files"]);
    let files: Vec<_> = listed
        .lines()
        .filter(|f| f.ends_with(suffix) && root().join(f).exists())
        .map(str::to_owned)
        .collect();
    assert!(
        !files.is_empty(),
        "git tracks no file that ends in {suffix}"
    );
    files
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file} is read: {e}"))
}

fn fail_on(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Follows `mod name;` from a crate root, as the compiler does.
fn follow(file: &Path, seen: &mut BTreeSet<PathBuf>) {
    if !seen.insert(file.to_owned()) {
        return;
    }
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file:?} is read: {e}"));
    let stem = file
        .file_stem()
        .and_then(|s| s.to_str())
        .expect("a Rust file has a stem");
    let parent = file.parent().expect("a file has a parent");
    let folder = if matches!(stem, "lib" | "main") || parent.ends_with("bin") {
        parent.to_owned()
    } else {
        parent.join(stem)
    };
    for line in text.lines() {
        let line = line.trim();
        let item = match line.split_once(") ") {
            Some((visibility, item)) if visibility.starts_with("pub(") => item,
            _ => line.strip_prefix("pub ").unwrap_or(line),
        };
        let name = item
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        if let Some(name) = name {
            let child = folder.join(format!("{name}.rs"));
            assert!(
                child.exists(),
                "{file:?} names mod {name}, {child:?} is not there"
            );
            follow(&child, seen);
        }
    }
}

#[test]
fn every_rust_file_is_part_of_a_crate() {
    let mut seen = BTreeSet::new();
    let files = tracked(".rs");
    for file in &files {
        let is_root = file.ends_with("src/lib.rs")
            || file.ends_with("src/main.rs")
            || file.contains("/src/bin/")
            || file.ends_with("tests/it/main.rs")
            || file.ends_with("tests/scenarios.rs")
            || file.ends_with("build.rs");
        if is_root {
            follow(&root().join(file), &mut seen);
        }
    }
    let orphans: Vec<_> = files
        .into_iter()
        .filter(|f| !seen.contains(&root().join(f)))
        .collect();
    fail_on("files that no crate includes", &orphans);
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let bad: Vec<_> = tracked(".rs")
        .into_iter()
        .filter(|f| !read(f).starts_with("//!"))
        .collect();
    fail_on("files without //! at the top", &bad);
    let named: Vec<_> = tracked(".rs")
        .into_iter()
        .filter(|f| f.ends_with("/mod.rs"))
        .collect();
    fail_on("mod.rs files (use foo.rs + foo/)", &named);
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = tracked(".rs")
        .into_iter()
        .filter_map(|f| {
            let lines = read(&f).lines().count();
            (lines > LINES_MAX).then(|| format!("{f}: {lines} lines"))
        })
        .collect();
    fail_on("files over the limit", &long);
}

#[test]
fn documents_name_what_exists() {
    let text = read("ARCHITECTURE.md");
    let mut missing = Vec::new();
    let mut paths = 0;
    for quoted in text.split('`').skip(1).step_by(2) {
        let is_path = quoted.contains('/')
            && quoted
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c))
            && !quoted.starts_with('/')
            && [
                "policy", "proto", "agent", "hub", "e2e", "deploy", ".ci", ".cargo",
            ]
            .contains(&quoted.split('/').next().unwrap_or(""));
        if is_path {
            paths += 1;
            if !root().join(quoted).exists() {
                missing.push(quoted.to_owned());
            }
        }
    }
    assert!(paths > 10, "ARCHITECTURE.md names only {paths} paths");
    fail_on("paths in ARCHITECTURE.md that do not exist", &missing);
}

/// Lines of a crate's sources that mention a text, outside comments.
fn mentions(folder: &str, needles: &[&str], except: &[&str]) -> Vec<String> {
    tracked(".rs")
        .into_iter()
        .filter(|f| f.starts_with(folder) && !except.iter().any(|e| f.starts_with(e)))
        .flat_map(|f| {
            let text = read(&f);
            let found: Vec<_> = text
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .filter(|(_, line)| needles.iter().any(|n| line.contains(n)))
                .map(|(n, line)| format!("{f}:{}: {}", n + 1, line.trim()))
                .collect();
            found
        })
        .collect()
}

#[test]
fn the_hub_renders_nothing_on_its_delivery_path() {
    let found = mentions("hub/src/", &["policy::render", "render::render"], &[]);
    fail_on("policy::render in the hub", &found);
}

#[test]
fn only_one_file_of_the_agent_knows_kubernetes_clients() {
    // The client crate, not our own module of that name.
    let needles = [
        " kube::",
        "(kube::",
        "<kube::",
        "&kube::",
        "use kube",
        "k8s_openapi",
    ];
    let found = mentions("agent/src/", &needles, &["agent/src/member/kube.rs"]);
    fail_on("`kube` in the agent outside member/kube.rs", &found);
}

#[test]
fn dependencies_with_an_advisory_stay_behind_their_wall() {
    let found = mentions("agent/src/", &["backoff::"], &["agent/src/retry.rs"]);
    fail_on("`backoff` outside retry.rs", &found);
    let found = mentions("agent/src/", &["sled::"], &["agent/src/ledger/cache.rs"]);
    fail_on("`sled` outside ledger/cache.rs", &found);
}

#[test]
fn arrows_between_crates_point_to_policy() {
    let allowed: &[(&str, &[&str])] = &[
        ("policy", &[]),
        ("proto", &["flotilla-policy"]),
        ("agent", &["flotilla-policy", "flotilla-proto"]),
        (
            "hub",
            &[
                "flotilla-policy",
                "flotilla-proto",
                "flotilla-agent",
                "flotilla-kubeapi",
            ],
        ),
        ("hub/cli", &["flotilla-policy", "flotilla-proto"]),
        ("hub/kubeapi", &[]),
    ];
    let mut found = Vec::new();
    for (folder, may) in allowed {
        for line in read(&format!("{folder}/Cargo.toml")).lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            if name.starts_with("flotilla-") && !may.contains(&name) {
                found.push(format!("{folder} uses {name}"));
            }
        }
    }
    fail_on("arrows that run back up", &found);
}

#[test]
fn policy_depends_on_almost_nothing() {
    let args = [
        "tree",
        "-p",
        "flotilla-policy",
        "-e",
        "normal",
        "--prefix",
        "none",
        "--offline",
    ];
    let listed = run("cargo", &args);
    let names: BTreeSet<_> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "flotilla-policy")
        .collect();
    let text = names.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    expect_file![root().join("policy/tests/dependencies.txt")].assert_eq(&text);
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let mut bad = Vec::new();
    for suffix in [".rs", ".md", ".toml", ".sh", ".yaml"] {
        let listed = run("git", &["ls-files", &format!("*{suffix}")]);
        for file in listed.lines().filter(|f| root().join(f).exists()) {
            let text = read(file);
            let hit = ["/home/", "/root/", "/work/"]
                .iter()
                .any(|p| text.contains(p) && !file.ends_with("tidy.rs"));
            if hit {
                bad.push(file.to_owned());
            }
        }
    }
    fail_on("machine paths", &bad);
}
