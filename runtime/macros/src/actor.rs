//! `#[maser::actor]` on an `impl` block.
//!
//! ```text
//! impl Echo { .. }                               the user's, without `#[maser(..)]`
//! const _: () = {
//!     method_table!(Echo, __Echo_methods);       the type that the handle derefs to
//!     impl ActorType for Echo { Methods, META }
//!     impl Echo { remote, options }              from `new`
//!     impl __Echo_methods { echo, .. }           a.echo()
//!     ..                                         for each method: marker type, call object, runner (`method.rs`)
//! };
//! ```

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{
    GenericArgument, Ident, ImplItem, ImplItemFn, ItemImpl, PathArguments, ReturnType, Type,
    TypePath,
};

use crate::args::{Args, Place};
use crate::bounds;
use crate::checkpoint::{self, Restore};
use crate::entry;
use crate::errors::Errors;
use crate::method::Method;
use crate::options::Builder;
use crate::output::Output;
use crate::param::Params;
use crate::rules::{self, Kind};

/// Expands the attribute.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut block: ItemImpl = match syn::parse2(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            let mut errors = Errors::default();
            match syn::parse2::<syn::Item>(item.clone()) {
                Ok(other) => errors.push(
                    other,
                    "`#[maser::actor]` belongs on the `impl` block that has `new` and the methods: for a function there is `#[maser::task]`",
                ),
                Err(_) => errors.add(error),
            }
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    let mut errors = Errors::default();
    let args = Args::parse(Place::Actor, args).unwrap_or_else(|error| {
        errors.add(error);
        Args::default()
    });
    // MAC-4: what is right about the block is generated all the same.
    let generated = generate(&mut block, &args, &mut errors);
    let errors = errors.into_tokens();
    quote!(#block #errors #generated)
}

/// The generated items; takes `#[maser(..)]` off the methods.
fn generate(block: &mut ItemImpl, args: &Args, errors: &mut Errors) -> TokenStream {
    let target = actor_type(block, errors);
    let mut constructor = None;
    let mut restore = None;
    let mut methods = Vec::new();
    let mut has_new = false;
    let mut is_free = true;
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else {
            continue;
        };
        let mut own = Args::of_method(args.local);
        let (marks, kept) = std::mem::take(&mut function.attrs)
            .into_iter()
            .partition(|a| a.path().is_ident("maser"));
        function.attrs = kept;
        let marks: Vec<_> = marks;
        for mark in &marks {
            if let Err(error) = own.add_attribute(mark) {
                errors.add(error);
            }
        }
        let name = function.sig.ident.unraw();
        if name == "remote" || name == "options" {
            is_free = false;
            errors.push(
                &function.sig.ident,
                format!("`{name}` is generated for every actor (it creates one): give this function another name"),
            );
        }
        let Some((actor, _)) = &target else { continue };
        if own.skip {
            continue;
        }
        if let Some(receiver) = function.sig.receiver() {
            methods.extend(Method::read(function, receiver, &own, actor, errors));
        } else if name == "new" {
            has_new = true;
            constructor = Constructor::read(function, args, actor, errors);
        } else if name == "restore" && args.checkpoint_interval.is_some() {
            restore = Some(Restore::read(function));
        } else if let Some(mark) = marks.first() {
            errors.push(
                mark,
                "only methods with `self` are called on an actor: remove this attribute",
            );
        }
    }
    let Some((actor, name)) = target else {
        return TokenStream::new();
    };
    if !has_new {
        errors.push(
            &actor,
            "an actor is made where it lives: give this block a constructor, `fn new(..) -> Self` or `fn new(..) -> Result<Self, E>`",
        );
    }
    let keeping = checkpoint::keeping(args, &actor, &name, &methods, restore.as_ref(), errors);
    // The generated functions of the same names would be a second error.
    assemble(
        block,
        args,
        &actor,
        &name,
        constructor.filter(|_| is_free),
        &methods,
        keeping,
    )
}

fn assemble(
    block: &ItemImpl,
    args: &Args,
    actor: &TypePath,
    name: &Ident,
    constructor: Option<Constructor>,
    methods: &[Method],
    keeping: TokenStream,
) -> TokenStream {
    let cfgs = block
        .attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"));
    let here = Span::call_site().located_at(name.span());
    let text = name.unraw().to_string();
    let table = format_ident!("__{}_methods", name.unraw(), span = here);
    let defaults = args.defaults();
    let on_handle = methods.iter().map(|method| method.on_handle(name));
    let items = methods.iter().map(|method| method.items(actor, name));
    let codec = match &constructor {
        Some(constructor) => bounds::argument_codec(&constructor.params, args.local),
        None => quote!(::core::option::Option::None),
    };
    let entry = match &constructor {
        Some(constructor) if !args.local => {
            let cfgs = constructor.cfgs();
            quote! {
                {
                    let entry: ::core::option::Option<&'static ::maser::__private::Entry> =
                        ::core::option::Option::None;
                    #(#cfgs)*
                    let entry = ::core::option::Option::Some(&__ENTRY);
                    entry
                }
            }
        }
        _ => quote!(::core::option::Option::None),
    };
    let constructor = constructor.map(|constructor| constructor.items(args, actor, name));
    // MAC-1, MAC-2; MAC-6: what is unsafe about the table is the runtime's own macro.
    quote_spanned! {here=>
        #(#cfgs)*
        #[allow(dead_code, deprecated, non_camel_case_types, non_snake_case, unused_variables, clippy::too_many_arguments)]
        const _: () = {
            ::maser::__private::method_table!(#actor, #table);
            // Errors list no other classes: those of a library tell nothing, and what to do stands in the note.
            #[diagnostic::do_not_recommend]
            impl ::maser::ActorType for #actor {
                type Methods = #table;
                const META: &'static ::maser::__private::Meta = &::maser::__private::Meta {
                    name: #text,
                    module: ::core::module_path!(),
                    actor: ::core::option::Option::Some(#text),
                    defaults: #defaults,
                    codec: #codec,
                    entry: #entry,
                    keeping: #keeping,
                };
            }
            impl #table {
                #(#on_handle)*
            }
            #(#items)*
            #constructor
        };
    }
}

/// `fn new`.
struct Constructor {
    visibility: syn::Visibility,
    attributes: Vec<syn::Attribute>,
    params: Params,
    output: Output,
    span: Span,
}

impl Constructor {
    fn read(
        function: &ImplItemFn,
        args: &Args,
        actor: &TypePath,
        errors: &mut Errors,
    ) -> Option<Constructor> {
        let mut found = Errors::default();
        let signature = &function.sig;
        rules::check_signature(Kind::Constructor, signature, &mut found);
        if !returns_actor(&signature.output, actor) {
            let message = "an actor's constructor returns `Self` or `Result<Self, E>`";
            match &signature.output {
                ReturnType::Type(_, ty) => found.push(ty, message),
                ReturnType::Default => found.push(&signature.ident, message),
            }
        }
        let params = Params::read(
            Kind::Constructor,
            signature,
            args.local,
            Some(actor),
            &mut found,
        );
        let plain = Args::default();
        let output = Output::read(
            Kind::Constructor,
            &signature.output,
            &plain,
            Some(actor),
            &mut found,
        );
        let constructor = found.is_empty().then(|| Constructor {
            visibility: function.vis.clone(),
            attributes: function
                .attrs
                .iter()
                .filter(|attr| crate::task::carried_over(attr))
                .cloned()
                .collect(),
            params,
            output,
            span: Span::call_site().located_at(signature.ident.span()),
        });
        errors.merge(found);
        constructor
    }

    /// The conditions under which it is there.
    fn cfgs(&self) -> impl Iterator<Item = &syn::Attribute> {
        let attributes = self.attributes.iter();
        attributes.filter(|attr| attr.path().is_ident("cfg"))
    }

    /// `remote`, `options` and the builder.
    fn items(&self, args: &Args, actor: &TypePath, name: &Ident) -> TokenStream {
        let Constructor {
            visibility,
            attributes,
            params,
            output,
            span,
        } = self;
        let text = name.unraw().to_string();
        let cfgs: Vec<_> = self.cfgs().collect();
        let parameters = params.remote();
        let holders = params.holders();
        let fetch = params.fetch();
        let names = params.names();
        let pattern = params.pattern();
        let generics = params.generics();
        let tuple = params.tuple();
        let outcome = output.outcome(quote!(<#actor>::new(#names)));
        let remote = Ident::new("remote", *span);
        let run = format_ident!("__{text}_new");
        let builder = Builder::actor(
            format_ident!("__{text}_options", span = *span),
            format!("an actor `{text}`"),
            args.local,
        );
        let options = &builder.name;
        let about_remote = format!(
            "Starts an actor `{text}` and returns at once with its handle; calls wait until `new` has returned. Each argument is a value or a reference to one."
        );
        let about_options =
            format!("Sets resources, a name or the place before an actor `{text}` is started.");
        let about_start = format!(
            "Starts an actor `{text}` with these options and returns at once with its handle."
        );
        let checks = bounds::argument_checks(params, args.local);
        let create = |options: TokenStream| {
            quote! {
                ::maser::__private::create::<#actor, _, _>(#options, #holders, #run)
            }
        };
        let (entry, _) = entry::entry(
            &quote!(<#actor as ::maser::ActorType>::META),
            params,
            &[],
            output.error(),
            &{
                let made_here = quote! {
                    ::maser::__private::create_with_end::<#actor, _, _>(
                        incoming.options(), #holders, #run,
                    )
                };
                quote!(::maser::__private::Answering::actor(#made_here))
            },
            entry::Role::Class(quote!(#actor)),
            args.local,
        );
        let entry = (!args.local).then(|| quote!(#(#cfgs)* #entry));
        let create_plain = create(quote!(::core::default::Default::default()));
        let create_with = create(quote!(self.0));
        let built = builder.tokens(
            visibility,
            quote! {
                #[doc = #about_start]
                #visibility fn #remote(self, #parameters) -> ::maser::Actor<#actor> {
                    #create_with
                }
            },
        );
        quote! {
            #entry
            #(#cfgs)*
            fn #run #generics(
                #pattern: #tuple,
            ) -> ::core::result::Result<#actor, ::maser::__private::Failure> {
                #fetch
                #outcome
            }
            #(#cfgs)*
            const _: () = {
                #built
                impl #actor {
                    #(#attributes)*
                    #[doc = #about_remote]
                    #visibility fn #remote(#parameters) -> ::maser::Actor<#actor> {
                        #create_plain
                    }

                    #(#attributes)*
                    #[doc = #about_options]
                    #visibility fn options() -> #options {
                        #options(::core::default::Default::default())
                    }
                }
                #checks
            };
        }
    }
}

/// The type the block is for, and its name; reports blocks that cannot be actors.
fn actor_type(block: &ItemImpl, errors: &mut Errors) -> Option<(TypePath, Ident)> {
    let mut found = Errors::default();
    if let Some((_, path, _)) = &block.trait_ {
        found.push(
            path,
            "an actor's methods stand in a plain `impl` block: call the trait's methods from there",
        );
    }
    if let Some(token) = &block.unsafety {
        found.push(
            token,
            "an actor's `impl` block is a safe one: remove `unsafe`",
        );
    }
    if !block.generics.params.is_empty() {
        found.push(
            &block.generics,
            "an actor cannot be generic yet: write the block for one concrete type, or for a struct that wraps it",
        );
    }
    let mut ty = &*block.self_ty;
    while let Type::Paren(syn::TypeParen { elem, .. }) | Type::Group(syn::TypeGroup { elem, .. }) =
        ty
    {
        ty = elem;
    }
    let target = match ty {
        Type::Path(path) if path.qself.is_none() => {
            let segment = path.path.segments.last()?;
            if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
                let lifetimes = arguments
                    .args
                    .iter()
                    .filter(|a| matches!(a, GenericArgument::Lifetime(_)));
                for lifetime in lifetimes {
                    found.push(
                        lifetime,
                        "an actor outlives its creator and cannot borrow: give it owned fields",
                    );
                }
            }
            Some((path.clone(), segment.ident.clone()))
        }
        other => {
            found.push(
                other,
                "an actor is a struct or an enum of your own: put the attribute on `impl Type`",
            );
            None
        }
    };
    let valid = found.is_empty();
    errors.merge(found);
    target.filter(|_| valid)
}

/// Whether a constructor's return type can be the actor: `Self`, its name, or a `Result` of it.
fn returns_actor(output: &ReturnType, actor: &TypePath) -> bool {
    let ReturnType::Type(_, ty) = output else {
        return false;
    };
    let Type::Path(path) = &**ty else {
        return false;
    };
    let Some(segment) = path.path.segments.last() else {
        return false;
    };
    path.path.is_ident("Self")
        || segment.ident == "Result"
        || actor
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == segment.ident)
}
