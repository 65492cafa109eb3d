//! What the attribute macros accept, and the text of every error they give.
//!
//! `ui/pass` is compiled and run, `ui/fail` must not compile, with exactly the errors in the `.stderr` files beside it.
//! After a change of an error text, `TRYBUILD=overwrite cargo test -p maser --test ui` writes them anew.

#[test]
fn macros_accept_what_they_should_and_explain_what_they_refuse() {
    let programs = trybuild::TestCases::new();
    programs.pass("tests/ui/pass/*.rs");
    programs.compile_fail("tests/ui/fail/*.rs");
}
