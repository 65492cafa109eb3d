//! The entry of a function in the link-time registry: how a worker process runs it.
//!
//! ```text
//! const _: () = {
//!     static __ENTRY: Entry = Entry { meta, types, invoke };     in the slice `FUNCTIONS`
//! };
//! ```
//!
//! `invoke` takes the arguments out of their bytes and makes the very call that a program would
//! write. A `local` function has no entry: it never leaves its process.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use crate::bounds;
use crate::output::{Output, Shape};
use crate::param::{Param, Params};

/// What else the function can be used for.
pub(crate) enum Role {
    /// A step of graphs, if it can be one.
    Function {
        /// See [`step`].
        step: TokenStream,
    },
    /// The constructor of this class: its actors can have names.
    Class(TokenStream),
}

/// The static and a path to it: `(items, Option<&'static Entry>)`.
///
/// `call` is the call with the arguments by their names; `result` types are part of its identity.
pub(crate) fn entry(
    meta: &TokenStream,
    params: &Params,
    results: &[Type],
    error: Option<&Type>,
    call: &TokenStream,
    role: Role,
    local: bool,
) -> (TokenStream, TokenStream) {
    if local {
        return (TokenStream::new(), quote!(::core::option::Option::None));
    }
    let types = params.iter().map(Param::object).chain(results);
    let arguments = params.iter().enumerate().map(|(index, param)| {
        let (name, object) = (param.name(), param.object());
        quote!(let #name: #object = incoming.coded::<#object>(codec, #index)?;)
    });
    let error = match error {
        Some(error) => quote! {{
            #[allow(unused_imports, reason = "which of the two answers depends on the type")]
            use ::maser::__private::{OpaqueError as _, PortableError as _};
            (&::maser::__private::ErrorProbe::<#error>::new()).codec()
        }},
        None => quote!(::core::option::Option::None),
    };
    let none = quote!(::core::option::Option::None);
    let (named, step) = match role {
        Role::Class(class) => (
            quote!(::core::option::Option::Some(::maser::__private::named::<#class>)),
            none,
        ),
        Role::Function { step } => (none, step),
    };
    let items = quote! {
        #[::maser::__private::linkme::distributed_slice(::maser::__private::FUNCTIONS)]
        #[linkme(crate = ::maser::__private::linkme)]
        static __ENTRY: ::maser::__private::Entry = ::maser::__private::Entry {
            meta: || #meta,
            types: || ::std::vec![#(::core::any::type_name::<#types>()),*],
            error: || #error,
            invoke: |incoming| {
                // Through the codec, which alone demands that they are values: one error for a type.
                let codec = (#meta).codec;
                #(#arguments)*
                incoming.end()?;
                ::core::result::Result::Ok(#call)
            },
            named: #named,
            step: #step,
        };
    };
    (items, quote!(::core::option::Option::Some(&__ENTRY)))
}

/// How the function runs as a step of a graph in its process: `access`, and `call` with the arguments
/// by their names, whose holders are plain values.
pub(crate) fn step(
    access: &TokenStream,
    params: &Params,
    value: &Type,
    call: &TokenStream,
) -> TokenStream {
    let arguments = params.iter().map(|param| {
        let (name, object) = (param.name(), param.object());
        let plain = bounds::is_plain(object);
        quote!(let #name = turn.argument::<#object>(#plain)?;)
    });
    let plain = bounds::is_plain(value);
    quote! {
        ::core::option::Option::Some(::maser::__private::StepEntry {
            access: ::maser::__private::StepAccess::#access,
            run: |turn| {
                #[allow(unused_imports, reason = "which of the two answers depends on the type")]
                use ::maser::__private::NotPlain as _;
                #(#arguments)*
                let value = #call?;
                turn.give(value, #plain)
            },
        })
    }
}

/// What a function has that is no step.
pub(crate) fn no_step() -> TokenStream {
    quote!(::core::option::Option::None)
}

/// What `invoke` gives back of a call whose refs are `refs`; `codec` is the function's.
pub(crate) fn answering(output: &Output, refs: &TokenStream) -> TokenStream {
    match output.shape {
        Shape::One => quote!(::maser::__private::Answering::one(codec, #refs)),
        Shape::Many => quote!(::maser::__private::Answering::many(codec, #refs)),
        Shape::Stream => quote!(::maser::__private::Answering::stream(codec, #refs)),
    }
}
