//! The derive macro of `bifolio_share::Shared`.
