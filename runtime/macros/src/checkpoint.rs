//! `checkpoint_interval`: the methods `save` and `restore` of an actor's block, and what becomes of them.
//!
//! ```text
//! keeping: Some(&Keeping {
//!     interval,
//!     save,          the entry of the method `save`
//!     restore,       takes its argument out of bytes and makes an actor, as a constructor would
//! })
//! ```

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, Ident, ImplItemFn, TypePath};

use crate::args::Args;
use crate::errors::Errors;
use crate::method::Method;

/// The function `restore`, as it was written.
pub(crate) struct Restore {
    signature: syn::Signature,
}

impl Restore {
    /// Reads it.
    pub(crate) fn read(function: &ImplItemFn) -> Restore {
        Restore {
            signature: function.sig.clone(),
        }
    }
}

/// The value of `Meta::keeping`.
pub(crate) fn keeping(
    args: &Args,
    actor: &TypePath,
    name: &Ident,
    methods: &[Method],
    restore: Option<&Restore>,
    errors: &mut Errors,
) -> TokenStream {
    let nothing = quote!(::core::option::Option::None);
    let Some((interval, span)) = args.checkpoint_interval else {
        return nothing;
    };
    let mut missing = |what: &str| {
        errors.add(syn::Error::new(
            span,
            format!("an actor with `checkpoint_interval` needs {what} in this block"),
        ));
    };
    let save = methods.iter().find(|method| method.name() == "save");
    if save.is_none() {
        missing("a method `fn save(&self) -> S` that gives its state as a value");
    }
    if restore.is_none() {
        missing(
            "a function `fn restore(saved: S) -> Option<Self>` (or `-> Result<Self, E>`) that makes it from what `save` gave",
        );
    }
    let (Some(save), Some(restore)) = (save, restore) else {
        return nothing;
    };
    if !save.only_reads() {
        errors.push(
            save.name(),
            "`save` is called between other calls and changes nothing: `fn save(&self) -> S`, without further parameters",
        );
        return nothing;
    }
    let inputs = &restore.signature.inputs;
    let is_plain =
        restore.signature.asyncness.is_none() && restore.signature.generics.params.is_empty();
    let argument = match inputs.first() {
        Some(FnArg::Typed(argument)) if inputs.len() == 1 && is_plain => &argument.ty,
        _ => {
            errors.push(
                &restore.signature.ident,
                "`restore` takes what `save` gave, and that alone: `fn restore(saved: S) -> Option<Self>`",
            );
            return nothing;
        }
    };
    let marker = save.marker(name);
    let value = save.value();
    let here = Span::call_site().located_at(argument.span());
    let result = Span::call_site().located_at(restore.signature.output.span());
    let made = quote_spanned!(result=> ::maser::__private::restored::<#actor, _>(made));
    // The argument must be what `save` gives: the compiler says so on the user's own tokens.
    let call = quote_spanned!(here=> <#actor>::restore(saved));
    quote! {
        ::core::option::Option::Some(&::maser::__private::Keeping {
            interval: #interval,
            save: |incoming| ::maser::__private::save::<#marker>(incoming),
            restore: |incoming| ::maser::__private::restore::<#actor, #value, _>(
                incoming,
                |saved: #value| {
                    let made = #call;
                    #made
                },
            ),
        })
    }
}
