//! The `patina` command: see [`cli`].

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let alarm = std::panic::take_hook();
    // A decoder that stumbles over a file is caught, and the history tells; nobody is to be alarmed.
    std::panic::set_hook(Box::new(move |panic| {
        if !patinadb::codecs::catches_panics() {
            alarm(panic);
        }
    }));
    cli::main()
}
