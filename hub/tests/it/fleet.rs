//! The side towards agents, over real TLS on the loopback: who gets in, what each may see and say.

mod enrolment;
mod isolation;
mod machine;
mod sessions;
mod support;
