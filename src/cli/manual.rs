//! `missived completions` and `missived man`: what packages ship, made from the command line itself so that it can't be stale.
//!
//! Both write to standard output. Not shown among the commands: people get them from the package.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;

/// Write completions for a shell.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Writes completions.
pub fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "missived", &mut text);
    written(io::stdout().write_all(&text))
}

/// Writes the man page: the program, then every command.
pub fn man() -> ExitCode {
    written(page().and_then(|page| io::stdout().write_all(&page)))
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = Arguments::command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for shown in command.get_subcommands().filter(|shown| !shown.is_hide_set()) {
        let man = clap_mangen::Man::new(shown.clone());
        writeln!(page, ".SH \"{}\"", shown.get_name().to_uppercase())?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        man.render_extra_section(&mut page)?;
    }
    Ok(page)
}

fn written(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("missived: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_every_command_and_the_hidden_ones_stay_hidden() {
        let page = String::from_utf8(page().expect("a page")).expect("text");
        for command in ["RUN", "CHECK", "STATUS", "PREVIEW"] {
            assert!(page.contains(&format!(".SH \"{command}\"")), "{command}");
        }
        assert!(!page.contains(".SH \"COMPLETIONS\""));
        Arguments::command().debug_assert();
    }
}
