//! `#[maser::task]` on a function.
//!
//! ```text
//! fn add(a: i64, b: i64) -> i64 { a + b }        the user's, unchanged
//! struct add {}                                  the type beside it
//! const _: () = {
//!     struct __add_options(TaskOptions);         the builder behind add::options()
//!     fn __add_run(holders) -> Result<i64, _>    takes the arguments out of their holders and calls the function
//!     impl add { remote, options, bind }
//!     impl Function for add { META }             with the codecs of its values (MAC-5)
//! };
//! ```

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Ident, ItemFn};

use crate::args::{Args, Place};
use crate::bounds;
use crate::entry;
use crate::errors::Errors;
use crate::options::Builder;
use crate::output::{Output, Shape};
use crate::param::Params;
use crate::rules::{self, Kind};

/// Expands the attribute.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let mut errors = Errors::default();
            match syn::parse2::<syn::Item>(item.clone()) {
                Ok(other) => errors.push(
                    other,
                    "`#[maser::task]` belongs on a function with a body: for an `impl` block there is `#[maser::actor]`",
                ),
                Err(_) => errors.add(error),
            }
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    let mut errors = Errors::default();
    let args = Args::parse(Place::Task, args).unwrap_or_else(|error| {
        errors.add(error);
        Args::default()
    });
    let generated = generate(&function, &args, &mut errors);
    // MAC-4.
    let generated = if errors.is_empty() {
        generated
    } else {
        errors.into_tokens()
    };
    quote!(#function #generated)
}

fn generate(function: &ItemFn, args: &Args, errors: &mut Errors) -> TokenStream {
    let signature = &function.sig;
    if let Some(receiver) = signature.receiver() {
        errors.push(
            receiver,
            "a method is not a task: put `#[maser::actor]` on the `impl` block, or make this a function that takes the value",
        );
        return TokenStream::new();
    }
    rules::check_signature(Kind::Task, signature, errors);
    let params = Params::read(Kind::Task, signature, args.local, None, errors);
    let output = Output::read(Kind::Task, &signature.output, args, None, errors);
    if output.shape == Shape::Stream {
        for param in params.iter().filter(|param| param.is_borrowed()) {
            errors.push(
                param.written(),
                "a task with `stream` makes its items after it has returned and cannot borrow its arguments: take them by value",
            );
        }
    }
    if !errors.is_empty() {
        return TokenStream::new();
    }

    let name = &signature.ident;
    let text = name.unraw().to_string();
    let visibility = &function.vis;
    let attributes: Vec<_> = function
        .attrs
        .iter()
        .filter(|attr| carried_over(attr))
        .collect();
    let cfgs: Vec<_> = function
        .attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"))
        .collect();
    let here = Span::call_site().located_at(name.span());
    let defaults = args.defaults();
    let checks = bounds::checks(&params, &output, args.local);
    let codec = bounds::codec(&params, &output, args.local);

    let names = params.names();
    let run = format_ident!("__{text}_run");
    let builder = Builder::task(
        format_ident!("__{text}_options", span = here),
        format!("the task `{text}`"),
    );
    let options = &builder.name;
    let (run_item, run) = runner(name, &run, &params, &output);

    let pattern = params.pattern();
    let step = match output.shape {
        Shape::Stream => entry::no_step(),
        _ => entry::step(
            &quote!(None),
            &params,
            output.value(),
            &quote!(#run(#pattern)),
        ),
    };
    let (entry, entry_of) = entry::entry(
        &quote!(<#name as ::maser::__private::Function>::META),
        &params,
        output.checked(),
        output.error(),
        &entry::answering(
            &output,
            &quote! {
                match incoming.task_options() {
                    ::core::option::Option::None => #name::remote(#names),
                    ::core::option::Option::Some(options) => #options(options).remote(#names),
                }
            },
        ),
        entry::Role::Function { step },
        args.local,
    );

    let parameters = params.remote();
    let holders = params.holders();
    let refs = output.refs();
    let bounds = bounds::of_remote(&output);
    let words = output.refs_in_words();
    let remote = Ident::new("remote", here);
    let spawn = match output.shape {
        Shape::One => quote!(spawn_with),
        Shape::Many => quote!(spawn_many),
        Shape::Stream => quote!(spawn_stream),
    };
    let types = match output.shape {
        Shape::Stream => quote!(#name, _, _, _, _),
        _ => quote!(#name, _, _, _),
    };
    let start_plain = match output.shape {
        Shape::One => quote!(::maser::__private::spawn::<#types>(#holders, #run)),
        _ => quote! {
            ::maser::__private::#spawn::<#types>(
                ::core::default::Default::default(), #holders, #run
            )
        },
    };
    let about = format!(
        "The task [`{text}`](fn@{name}): `remote` starts it, `options` sets what it needs first, `bind` makes it a step of a graph."
    );
    let about_remote = format!(
        "Starts [`{text}`](fn@{name}) and returns at once with {words}. Each argument is a value or a reference to one."
    );
    let about_options =
        format!("Sets resources, retries or a name before [`{text}`](fn@{name}) is started.");
    let about_start =
        format!("Starts `{text}` with these options and returns at once with {words}.");
    let bind = (output.shape != Shape::Stream).then(|| {
        let about = format!(
            "Makes [`{text}`](fn@{name}) a step of a graph. Each argument is a node or a value."
        );
        let bind = Ident::new("bind", here);
        let parameters = params.bind();
        let sources = params.sources();
        let value = output.value();
        let bounds = bounds::of_graph(&params, &output);
        let plain = quote! {
            #[doc = #about]
            #visibility fn #bind(#parameters) -> ::maser::Node<#value>
            #bounds
            {
                ::maser::__private::bind_task::<#name, _, _, _>(#sources, #run)
            }
        };
        let about = format!(
            "Makes `{text}` with these options a step of a graph: its resources are taken when the graph is compiled, and held until it ends. Each argument is a node or a value."
        );
        let with_options = quote! {
            #[doc = #about]
            #visibility fn #bind(self, #parameters) -> ::maser::Node<#value>
            #bounds
            {
                ::maser::__private::bind_task_with::<#name, _, _, _>(self.0, #sources, #run)
            }
        };
        (plain, with_options)
    });
    let (bind, bind_with) = bind.unzip();
    let built = builder.tokens(
        visibility,
        quote! {
            #[doc = #about_start]
            #visibility fn #remote(self, #parameters) -> #refs
            #bounds
            {
                ::maser::__private::#spawn::<#types>(self.0, #holders, #run)
            }

            #bind_with
        },
    );
    // MAC-1, MAC-2.
    quote_spanned! {here=>
        #(#attributes)*
        #[doc = #about]
        #[allow(non_camel_case_types, dead_code)]
        #[non_exhaustive]
        #visibility struct #name {}

        #(#cfgs)*
        #[allow(dead_code, deprecated, non_camel_case_types, non_snake_case, clippy::too_many_arguments)]
        const _: () = {
            #built
            #run_item
            impl #name {
                #[doc = #about_remote]
                #[inline]
                #visibility fn #remote(#parameters) -> #refs
                #bounds
                {
                    #start_plain
                }

                #[doc = #about_options]
                #visibility fn options() -> #options {
                    #options(::core::default::Default::default())
                }

                #bind
            }
            impl ::maser::__private::Function for #name {
                const META: &'static ::maser::__private::Meta = &::maser::__private::Meta {
                    name: #text,
                    module: ::core::module_path!(),
                    actor: ::core::option::Option::None,
                    defaults: #defaults,
                    codec: #codec,
                    entry: #entry_of,
                    keeping: ::core::option::Option::None,
                };
            }
            #entry
            #checks
        };
    }
}

/// Attributes that the generated type shares with the function.
pub(crate) fn carried_over(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("deprecated")
}

/// The function that takes the arguments out of their holders: its item, and what to write for it.
///
/// A stream's iterator may hold the arguments, and its type has no name: there it is a closure.
fn runner(
    name: &Ident,
    run: &Ident,
    params: &Params,
    output: &Output,
) -> (TokenStream, TokenStream) {
    let fetch = params.fetch();
    let names = params.names();
    let pattern = params.pattern();
    let outcome = output.outcome(quote!(#name(#names)));
    if output.shape == Shape::Stream {
        let item = output.item_outcome(quote!(item));
        let closure = quote! {
            move |#pattern| {
                #fetch
                let items = #outcome?;
                ::core::result::Result::<_, ::maser::__private::Failure>::Ok(
                    ::core::iter::Iterator::map(
                        ::core::iter::IntoIterator::into_iter(items),
                        |item| #item,
                    ),
                )
            }
        };
        return (TokenStream::new(), closure);
    }
    let generics = params.generics();
    let tuple = params.tuple();
    let value = output.value();
    let item = quote! {
        fn #run #generics(
            #pattern: #tuple,
        ) -> ::core::result::Result<#value, ::maser::__private::Failure> {
            #fetch
            #outcome
        }
    };
    (item, quote!(#run))
}
