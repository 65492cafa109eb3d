//! One method of an actor: its place on the handle, and the call object behind `a.echo()`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, FnArg, Ident, ImplItemFn, Receiver, Type, TypePath, Visibility};

use crate::args::Args;
use crate::bounds;
use crate::entry;
use crate::errors::Errors;
use crate::output::{Output, Shape};
use crate::param::Params;
use crate::rules::{self, Kind};

/// Methods that every handle has already, through traits of the prelude.
const TAKEN: &[&str] = &[
    "clone",
    "clone_from",
    "clone_into",
    "drop",
    "eq",
    "into",
    "ne",
    "to_owned",
    "try_into",
];

/// A method that can be called from outside.
pub(crate) struct Method {
    name: Ident,
    visibility: Visibility,
    attributes: Vec<Attribute>,
    params: Params,
    output: Output,
    exclusive: bool,
    is_async: bool,
    local: bool,
    defaults: TokenStream,
}

impl Method {
    /// Reads a method; what is wrong with it is reported, and then it gets no place on the handle.
    pub(crate) fn read(
        function: &ImplItemFn,
        receiver: &Receiver,
        args: &Args,
        actor: &TypePath,
        errors: &mut Errors,
    ) -> Option<Method> {
        let mut found = Errors::default();
        let signature = &function.sig;
        rules::check_signature(Kind::Method, signature, &mut found);
        let exclusive = check_receiver(receiver, &mut found);
        if TAKEN.contains(&signature.ident.to_string().as_str()) {
            found.push(
                &signature.ident,
                format!(
                    "`{name}` on the handle is the handle's own `{name}`, so this method could not be called: give it another name{}",
                    Kind::Method.or_skip(),
                    name = signature.ident,
                ),
            );
        }
        let params = Params::read(Kind::Method, signature, args.local, Some(actor), &mut found);
        let output = Output::read(
            Kind::Method,
            &signature.output,
            args,
            Some(actor),
            &mut found,
        );
        if let (Some(token), true) = (&signature.asyncness, output.shape != Shape::One) {
            found.push(token, "an `async` method gives one `Ref`: remove `stream` or `num_returns`, or remove `async`");
        }
        let method = found.is_empty().then(|| Method {
            name: signature.ident.clone(),
            visibility: function.vis.clone(),
            attributes: function
                .attrs
                .iter()
                .filter(|attr| crate::task::carried_over(attr))
                .cloned()
                .collect(),
            params,
            output,
            exclusive,
            is_async: signature.asyncness.is_some(),
            local: args.local,
            defaults: args.defaults(),
        });
        errors.merge(found);
        method
    }

    fn here(&self) -> Span {
        Span::call_site().located_at(self.name.span())
    }

    /// Its name.
    pub(crate) fn name(&self) -> &Ident {
        &self.name
    }

    /// The type of its result.
    pub(crate) fn value(&self) -> &Type {
        self.output.value()
    }

    /// Whether it can be called with `&self`, without arguments, for one result.
    pub(crate) fn only_reads(&self) -> bool {
        let takes_nothing = self.params.iter().next().is_none();
        takes_nothing && !self.exclusive && self.output.shape == Shape::One
    }

    /// The path of its marker type.
    pub(crate) fn marker(&self, actor: &Ident) -> Ident {
        self.mangled(actor, "method")
    }

    fn mangled(&self, actor: &Ident, suffix: &str) -> Ident {
        format_ident!(
            "__{}_{}_{suffix}",
            actor.unraw(),
            self.name.unraw(),
            span = self.here()
        )
    }

    /// The method of the handle: `a.echo()`.
    pub(crate) fn on_handle(&self, actor: &Ident) -> TokenStream {
        let Method {
            name,
            visibility,
            attributes,
            ..
        } = self;
        let call = self.mangled(actor, "call");
        let bind = if self.binds() {
            ", `bind` makes it a step of a graph"
        } else {
            ""
        };
        let about = format!("A call of `{}::{}`: `remote` sends it{bind}.", actor, name);
        let mut name = name.clone();
        name.set_span(self.here());
        quote! {
            #(#attributes)*
            #[doc = #about]
            #[inline]
            #visibility fn #name(&self) -> #call<'_> {
                #call {
                    actor: ::maser::__private::actor_of(&self.0),
                    options: ::core::default::Default::default(),
                }
            }
        }
    }

    fn binds(&self) -> bool {
        self.output.shape != Shape::Stream
    }

    /// The marker type, the call object and what they need.
    pub(crate) fn items(&self, actor: &TypePath, actor_name: &Ident) -> TokenStream {
        let Method {
            visibility,
            params,
            output,
            ..
        } = self;
        let cfgs: Vec<_> = self
            .attributes
            .iter()
            .filter(|attr| attr.path().is_ident("cfg"))
            .collect();
        let here = self.here();
        let marker = self.mangled(actor_name, "method");
        let call = self.mangled(actor_name, "call");
        let run = self.mangled(actor_name, "run");
        let run_item = self.runner(actor, &run);
        let defaults = &self.defaults;
        let full_name = format!("{}::{}", actor_name.unraw(), self.name.unraw());
        let actor_text = actor_name.unraw().to_string();
        let checks = bounds::checks(params, output, self.local);
        let codec = bounds::codec(params, output, self.local);
        let parameters = params.remote();
        let holders = params.holders();
        let refs = output.refs();
        let bounds = bounds::of_remote(output);
        let remote = Ident::new("remote", here);
        let names = params.names();
        let made_here = quote! {
            #call {
                actor: incoming.actor::<#actor>()?,
                options: incoming.call_options(),
            }.#remote(#names)
        };
        let (entry, entry_of) = entry::entry(
            &quote!(<#marker as ::maser::__private::Function>::META),
            params,
            output.checked(),
            output.error(),
            &entry::answering(output, &made_here),
            entry::Role::Function {
                step: self.step(actor, &run),
            },
            self.local,
        );
        let send = match (output.shape, self.is_async, self.exclusive) {
            (Shape::One, true, true) => quote!(call_async_mut),
            (Shape::One, true, false) => quote!(call_async),
            (Shape::One, false, true) => quote!(call_mut),
            (Shape::One, false, false) => quote!(call_ref),
            (Shape::Many, _, true) => quote!(call_many_mut),
            (Shape::Many, _, false) => quote!(call_many_ref),
            (Shape::Stream, _, true) => quote!(call_stream_mut),
            (Shape::Stream, _, false) => quote!(call_stream_ref),
        };
        let bind = self.binds().then(|| self.bind(actor, &marker, &run));
        let about = format!("A call of `{full_name}` that has not been sent yet.");
        let about_remote = format!(
            "Sends the call to the actor and returns at once with {}. Each argument is a value or a reference to one.",
            output.refs_in_words()
        );
        quote_spanned! {here=>
            #(#cfgs)*
            const _: () = {
                impl ::maser::__private::Function for #marker {
                    const META: &'static ::maser::__private::Meta = &::maser::__private::Meta {
                        name: #full_name,
                        module: ::core::module_path!(),
                        actor: ::core::option::Option::Some(#actor_text),
                        defaults: #defaults,
                        codec: #codec,
                        entry: #entry_of,
                        keeping: ::core::option::Option::None,
                    };
                }
                #entry
                #run_item
                impl #call<'_> {
                    #[doc = #about_remote]
                    #[inline]
                    #visibility fn #remote(self, #parameters) -> #refs
                    #bounds
                    {
                        ::maser::__private::#send::<#marker, #actor, _, _, _>(
                            self.actor, self.options, #holders, #run,
                        )
                    }

                    #bind

                    /// Sets the options of this call.
                    #visibility fn with(self, options: ::maser::CallOptions) -> Self {
                        Self { actor: self.actor, options }
                    }
                }
                #checks
            };

            #(#cfgs)*
            #[doc = #about]
            #[must_use = "nothing is sent before `remote` is called"]
            #visibility struct #call<'a> {
                actor: &'a ::maser::Actor<#actor>,
                options: ::maser::CallOptions,
            }

            #(#cfgs)*
            #visibility struct #marker {}
        }
    }

    /// How a worker runs it as a step of a graph.
    fn step(&self, actor: &TypePath, run: &Ident) -> TokenStream {
        if !self.binds() {
            return entry::no_step();
        }
        let pattern = self.params.pattern();
        let call = |how: TokenStream, run: TokenStream| quote!(turn.#how::<#actor, _>(#run));
        let (access, call) = match (self.is_async, self.exclusive) {
            (true, true) => (
                quote!(Exclusive),
                call(
                    quote!(call_async_mut),
                    quote!(async |this: &mut #actor| #run(this, #pattern).await),
                ),
            ),
            (true, false) => (
                quote!(Async),
                call(
                    quote!(call_async),
                    quote!(async |this: &#actor| #run(this, #pattern).await),
                ),
            ),
            (false, true) => (
                quote!(Exclusive),
                call(
                    quote!(call_mut),
                    quote!(|this: &mut #actor| #run(this, #pattern)),
                ),
            ),
            (false, false) => (
                quote!(Exclusive),
                call(
                    quote!(call_ref),
                    quote!(|this: &#actor| #run(this, #pattern)),
                ),
            ),
        };
        entry::step(&access, &self.params, self.output.value(), &call)
    }

    fn bind(&self, actor: &TypePath, marker: &Ident, run: &Ident) -> TokenStream {
        let Method {
            visibility,
            params,
            output,
            ..
        } = self;
        let bind = Ident::new("bind", self.here());
        let parameters = params.bind();
        let sources = params.sources();
        let value = output.value();
        let bounds = bounds::of_graph(params, output);
        let bind_as = match (self.is_async, self.exclusive) {
            (true, true) => quote!(bind_async_mut),
            (true, false) => quote!(bind_async),
            (false, true) => quote!(bind_mut),
            (false, false) => quote!(bind_ref),
        };
        quote! {
            /// Makes the call a step of a graph. Each argument is a node or a value.
            #visibility fn #bind(self, #parameters) -> ::maser::Node<#value>
            #bounds
            {
                ::maser::__private::#bind_as::<#marker, #actor, _, _, _>(self.actor, #sources, #run)
            }
        }
    }

    /// The function that takes the arguments out of their holders and calls the user's method.
    fn runner(&self, actor: &TypePath, run: &Ident) -> TokenStream {
        let Method {
            name,
            params,
            output,
            ..
        } = self;
        let fetch = params.fetch();
        let names = params.names();
        let pattern = params.pattern();
        let generics = params.generics();
        let tuple = params.tuple();
        let value = output.value();
        let this = Ident::new("this", Span::call_site());
        let mutable = self.exclusive.then(|| quote!(mut));
        let (asyncness, wait) = match self.is_async {
            true => (Some(quote!(async)), Some(quote!(.await))),
            false => (None, None),
        };
        let outcome = output.outcome(quote!(<#actor>::#name(#this, #names) #wait));
        if output.shape == Shape::Stream {
            let item = output.item_outcome(quote!(item));
            return quote! {
                fn #run #generics(
                    #this: & #mutable #actor,
                    #pattern: #tuple,
                    emit: &mut dyn ::core::ops::FnMut(
                        ::core::result::Result<#value, ::maser::__private::Failure>,
                    ) -> bool,
                ) -> ::core::result::Result<(), ::maser::__private::Failure> {
                    #fetch
                    for item in #outcome? {
                        if !emit(#item) {
                            break;
                        }
                    }
                    ::core::result::Result::Ok(())
                }
            };
        }
        quote! {
            #asyncness fn #run #generics(
                #this: & #mutable #actor,
                #pattern: #tuple,
            ) -> ::core::result::Result<#value, ::maser::__private::Failure> {
                #fetch
                #outcome
            }
        }
    }
}

/// Whether the receiver is `&mut self`; receivers that cannot work are reported.
fn check_receiver(receiver: &Receiver, errors: &mut Errors) -> bool {
    let (reference, mutable, lifetime) = match (&receiver.reference, &*receiver.ty) {
        (Some((_, lifetime)), _) => (true, receiver.mutability.is_some(), lifetime.as_ref()),
        (None, Type::Reference(reference)) if receiver.colon_token.is_some() => {
            let of_self =
                matches!(&*reference.elem, Type::Path(path) if path.path.is_ident("Self"));
            (
                of_self,
                reference.mutability.is_some(),
                reference.lifetime.as_ref(),
            )
        }
        _ => (false, false, None),
    };
    if !reference {
        errors.push(
            FnArg::Receiver(receiver.clone()),
            "a method of an actor borrows it, since the actor goes on living: take `&mut self` or `&self`, or put `#[maser(skip)]` on it if it is not called from outside",
        );
    } else if let Some(lifetime) = lifetime.filter(|lifetime| lifetime.ident != "_") {
        errors.push(
            lifetime,
            "the actor does not outlive the call: remove the lifetime",
        );
    }
    mutable
}
