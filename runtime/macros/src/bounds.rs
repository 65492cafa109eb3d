//! What is demanded of the types of arguments and results.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Type;
use syn::spanned::Spanned;

use crate::output::{Output, Shape};
use crate::param::{Param, Params};

/// The codec of a function: `Option<&'static Codec>`.
///
/// It asserts on the user's tokens that every argument and result is a `Value` (MAC-5); a `local` function has none.
pub(crate) fn codec(params: &Params, output: &Output, local: bool) -> TokenStream {
    let whole = (output.shape == Shape::Many).then(|| output.value());
    codec_of(params, output.checked(), whole, local)
}

/// The codec of a constructor, whose result stays where it is made.
pub(crate) fn argument_codec(params: &Params, local: bool) -> TokenStream {
    codec_of(params, &[], None, local)
}

fn codec_of(params: &Params, results: &[Type], whole: Option<&Type>, local: bool) -> TokenStream {
    if local {
        return quote!(::core::option::Option::None);
    }
    let args = params
        .iter()
        .map(|param| value(param.object(), &param.label()));
    let results = results.iter().map(|ty| value(ty, ""));
    let whole = match whole {
        Some(ty) => {
            let whole = value(ty, "");
            quote!(::core::option::Option::Some(#whole))
        }
        None => quote!(::core::option::Option::None),
    };
    quote! {
        {
            const fn __value<T: ::maser::Value>(
                name: &'static str,
                plain: ::maser::__private::IsPlain<T>,
            ) -> ::maser::__private::ValueCodec {
                ::maser::__private::ValueCodec::of::<T>(name, plain)
            }
            #[allow(unused_imports, reason = "which of the two answers depends on the type")]
            use ::maser::__private::NotPlain as _;
            const __ARGS: &[::maser::__private::ValueCodec] = &[#(#args),*];
            const __RESULTS: &[::maser::__private::ValueCodec] = &[#(#results),*];
            ::core::option::Option::Some(&::maser::__private::Codec {
                args: __ARGS,
                results: __RESULTS,
                whole: #whole,
            })
        }
    }
}

fn value(ty: &Type, name: &str) -> TokenStream {
    let span = Span::call_site().located_at(ty.span());
    let plain = is_plain(ty);
    quote_spanned!(span=> __value::<#ty>(#name, #plain))
}

/// Whether `ty` is nothing but its bytes; where `NotPlain` is in scope.
pub(crate) fn is_plain(ty: &Type) -> TokenStream {
    quote!(<::maser::__private::PlainProbe<#ty>>::IS)
}

/// `check::<T>()` for every argument and result of a `local` function (MAC-5).
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
    if !local {
        return TokenStream::new();
    }
    let checks = types.map(|ty| {
        let span = Span::call_site().located_at(ty.span());
        quote_spanned!(span=> check::<#ty>();)
    });
    quote! {
        const _: () = {
            fn check<T: ::maser::LocalValue>() {}
            fn all() { #(#checks)* }
        };
    }
}

/// The `where` clause of `remote`: what leaves its thread is `LocalValue` at least.
///
/// The lifetime puts the check off to where `remote` is called (MAC-8), so that a result of another type is one error
/// (MAC-5) and not one in every generated function.
pub(crate) fn of_remote(output: &Output) -> TokenStream {
    let bounds = output.parts().into_iter().map(|ty| {
        let span = Span::call_site().located_at(ty.span());
        quote_spanned!(span=> for<'remote> #ty: ::maser::LocalValue,)
    });
    quote!(where #(#bounds)*)
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
