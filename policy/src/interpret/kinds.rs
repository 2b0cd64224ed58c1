//! One file per kind. Each decides what that kind's objects mean; shared arithmetic lives beside
//! the folder.
