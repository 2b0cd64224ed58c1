//! The help of every command, as people read it.

use clap::{Command, CommandFactory};
use expect_test::expect_file;
use flotilla_cli::Cli;

fn helps(command: &mut Command, path: &str, text: &mut String) {
    text.push_str(&format!("=== {path}\n{}\n", command.render_long_help()));
    let names: Vec<_> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    for name in names.iter().filter(|name| *name != "help") {
        let inner = command
            .find_subcommand_mut(name)
            .expect("it was just listed");
        helps(inner, &format!("{path} {name}"), text);
    }
}

#[test]
fn every_command_explains_itself() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    helps(&mut command, "flotilla", &mut text);
    expect_file!["goldens/help.txt"].assert_eq(&text);
}
