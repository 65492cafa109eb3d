//! What is demanded of the types of arguments and results.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use crate::output::Output;
use crate::param::{Param, Params};

/// `check::<T>()` for every argument and result (MAC-5).
pub(crate) fn checks(params: &Params, output: &Output, local: bool) -> TokenStream {
    check_all(
        params.iter().map(Param::object).chain(output.checked()),
        local,
    )
}

/// The same for the arguments alone.
pub(crate) fn argument_checks(params: &Params, local: bool) -> TokenStream {
    check_all(params.iter().map(Param::object), local)
}

fn check_all<'a>(types: impl Iterator<Item = &'a Type>, local: bool) -> TokenStream {
    let bound = if local {
        quote!(::maser::LocalValue)
    } else {
        quote!(::maser::Value)
    };
    let checks = types.map(|ty| {
        let span = Span::call_site().located_at(ty.span());
        quote_spanned!(span=> check::<#ty>();)
    });
    quote! {
        const _: () = {
            fn check<T: #bound>() {}
            fn all() { #(#checks)* }
        };
    }
}

/// The `where` clause of `bind`: what flows through a graph is `GraphValue`.
///
/// The lifetime puts the check off to where `bind` is called (MAC-8): without it, a function of other types could not
/// be written at all.
pub(crate) fn of_graph(params: &Params, output: &Output) -> TokenStream {
    let types = params.iter().map(Param::object).chain([output.value()]);
    let bounds = types.map(|ty| {
        let span = Span::call_site().located_at(ty.span());
        quote_spanned!(span=> for<'graph> #ty: ::maser::GraphValue,)
    });
    quote!(where #(#bounds)*)
}
