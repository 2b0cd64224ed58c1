//! API kinds: CRDs, admission, what is refused because it is not built.

mod admission;
mod crds;
mod support;
