//! `#[maser::main]` on `fn main`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{ItemFn, ReturnType, Type};

use crate::errors::Errors;
use crate::rules;

/// Expands the attribute.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    if !args.is_empty() {
        errors.push(
            args,
            "`#[maser::main]` takes no arguments: set knobs where the runtime is started, `maser::Config::new().num_cpus(2).init()`",
        );
    }
    rules::check_main(&function, &mut errors);
    if !errors.is_empty() {
        let errors = errors.into_tokens();
        // A `main` that rustc would refuse for the same reason is left out: one mistake, one error.
        let name = &function.sig.ident;
        let item = match name == "main" {
            true => quote!(
                fn main() {}
            ),
            false => function.to_token_stream(),
        };
        return quote!(#item #errors);
    }
    let body = &function.block;
    let output = match &function.sig.output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => TokenStream::new(),
        output => output.to_token_stream(),
    };
    *function.block = syn::parse_quote!({
        ::maser::__private::run_main(|| #output #body)
    });
    function.to_token_stream()
}
