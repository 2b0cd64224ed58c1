//! stub
use crate::config::Args;
/// stub
pub fn main(_: Args) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
