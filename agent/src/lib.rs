//! stub
pub mod config {
    //! stub
    /// stub
    #[derive(clap::Parser)]
    pub struct Args {}
}
/// stub
pub fn main(_: config::Args) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
