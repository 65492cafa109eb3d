//! One parameter: what the caller passes for it, and how the function gets it.
//!
//! | parameter | caller passes | function gets |
//! |---|---|---|
//! | `x: T` | `IntoArg<T>` | the value |
//! | `x: &T` | `IntoArgRef<T>` | a borrow of the object |
//! | `x: &str` | `IntoArgRef<String>` | a borrow of the text |
//! | `x: &[T]` | `IntoArgRef<Vec<T>>` | a borrow of the elements |

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, Ident, Pat, PatType, Signature, Type, TypePath, parse_quote_spanned};

use crate::borrowed::{self, Wording};
use crate::errors::Errors;
use crate::rules::Kind;
use crate::self_type;

/// One parameter of a task, a constructor or a method.
pub(crate) struct Param {
    /// The user's name where there is one; see MAC-3.
    name: Ident,
    /// The type of the object behind it.
    object: Type,
    /// Whether the function borrows the object.
    borrowed: bool,
    /// The type as the user wrote it.
    written: Type,
}

impl Param {
    /// The name it has in generated code.
    pub(crate) fn name(&self) -> &Ident {
        &self.name
    }

    /// The type of the object behind it.
    pub(crate) fn object(&self) -> &Type {
        &self.object
    }

    /// Its name in errors.
    pub(crate) fn label(&self) -> String {
        self.name.unraw().to_string()
    }

    /// The type as the user wrote it.
    pub(crate) fn written(&self) -> &Type {
        &self.written
    }

    /// Whether the function borrows the object.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.borrowed
    }

    /// `x: impl IntoArg<T>`, placed where the user wrote the type.
    fn declare(&self, by_value: &str, by_ref: &str) -> TokenStream {
        let Param {
            name,
            object,
            written,
            ..
        } = self;
        let span = at(written);
        let bound = Ident::new(if self.borrowed { by_ref } else { by_value }, span);
        quote_spanned!(span=> #name: impl ::maser::#bound<#object>)
    }
}

/// The parameters of one function, in order.
pub(crate) struct Params(Vec<Param>);

impl Params {
    /// Reads the parameters after `self`; wrong ones are reported and left out.
    pub(crate) fn read(
        kind: Kind,
        signature: &Signature,
        local: bool,
        actor: Option<&TypePath>,
        errors: &mut Errors,
    ) -> Params {
        let mut params: Vec<Param> = Vec::new();
        for (index, input) in signature.inputs.iter().enumerate() {
            let FnArg::Typed(input) = input else { continue };
            if let Some(attribute) = input.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                errors.push(
                    attribute,
                    "a parameter cannot be conditional here: put `cfg` on the whole function",
                );
                continue;
            }
            let mut found = Errors::default();
            let param = read_one(kind, index, input, local, actor, &mut found);
            if found.is_empty() {
                params.push(param);
            }
            errors.merge(found);
        }
        // Patterns such as `(a, b)` got made-up names, which may not be those of other parameters.
        for index in 0..params.len() {
            while params[..index]
                .iter()
                .any(|other| other.name == params[index].name)
            {
                params[index].name = format_ident!("{}_", params[index].name);
            }
        }
        Params(params)
    }

    /// Each parameter.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Param> {
        self.0.iter()
    }

    /// The parameters of `remote`.
    pub(crate) fn remote(&self) -> TokenStream {
        let each = self
            .0
            .iter()
            .map(|param| param.declare("IntoArg", "IntoArgRef"));
        quote!(#(#each),*)
    }

    /// The parameters of `bind`.
    pub(crate) fn bind(&self) -> TokenStream {
        let each = self
            .0
            .iter()
            .map(|param| param.declare("IntoNode", "IntoNode"));
        quote!(#(#each),*)
    }

    /// The tuple of holders made from the parameters of `remote`.
    pub(crate) fn holders(&self) -> TokenStream {
        let each = self.0.iter().map(
            |Param {
                 name,
                 object,
                 borrowed,
                 ..
             }| match borrowed {
                true => quote!(::maser::IntoArgRef::<#object>::into_holder_ref(#name)),
                false => quote!(::maser::IntoArg::<#object>::into_holder(#name)),
            },
        );
        quote!((#(#each,)*))
    }

    /// The tuple of sources made from the parameters of `bind`.
    pub(crate) fn sources(&self) -> TokenStream {
        let each = self.0.iter().map(
            |Param { name, object, .. }| quote!(::maser::IntoNode::<#object>::into_source(#name)),
        );
        quote!((#(#each,)*))
    }

    /// The names of the parameters, as arguments of the user's function.
    pub(crate) fn names(&self) -> TokenStream {
        let names = self.0.iter().map(|param| &param.name);
        quote!(#(#names),*)
    }

    /// The pattern that takes the tuple of holders apart.
    pub(crate) fn pattern(&self) -> TokenStream {
        let names = self.0.iter().map(|param| &param.name);
        quote!((#(#names,)*))
    }

    /// `<__H0: Arg<T0>, ..>`, the holders of a function that is generic over them.
    pub(crate) fn generics(&self) -> TokenStream {
        let each = self.0.iter().enumerate().map(
            |(
                index,
                Param {
                    object, borrowed, ..
                },
            )| {
                let holder = format_ident!("__H{index}");
                match borrowed {
                    true => quote!(#holder: ::maser::__private::ArgRef<#object>),
                    false => quote!(#holder: ::maser::__private::Arg<#object>),
                }
            },
        );
        quote!(<#(#each),*>)
    }

    /// `(__H0, ..)`, the type of the tuple of holders.
    pub(crate) fn tuple(&self) -> TokenStream {
        let each = (0..self.0.len()).map(|index| format_ident!("__H{index}"));
        quote!((#(#each,)*))
    }

    /// Statements that turn each holder into what the function takes.
    pub(crate) fn fetch(&self) -> TokenStream {
        let each = self.0.iter().enumerate().map(|(index, Param { name, object, borrowed, .. })| {
            match borrowed {
                true => quote! {
                    let #name: &#object = ::maser::__private::ArgRef::<#object>::borrow(&#name, #index)?;
                },
                false => quote! {
                    let #name: #object = ::maser::__private::Arg::<#object>::value(#name, #index)?;
                },
            }
        });
        quote!(#(#each)*)
    }
}

fn read_one(
    kind: Kind,
    index: usize,
    input: &PatType,
    local: bool,
    actor: Option<&TypePath>,
    errors: &mut Errors,
) -> Param {
    let mut ty = &*input.ty;
    while let Type::Paren(syn::TypeParen { elem, .. }) | Type::Group(syn::TypeGroup { elem, .. }) =
        ty
    {
        ty = elem;
    }
    let (object, borrowed) = match ty {
        Type::Reference(reference) => {
            if reference.mutability.is_some() {
                errors.push(
                    reference,
                    format!(
                        "{} cannot take `&mut`, since others may hold the same object: take it by value (`mut x: T`) and return it changed{}",
                        kind.noun(),
                        kind.or_skip()
                    ),
                );
            } else if let Some(lifetime) = reference.lifetime.as_ref().filter(|l| l.ident != "_") {
                errors.push(lifetime, lifetime_message(kind));
            }
            (read_borrowed(&reference.elem, errors), true)
        }
        _ => (ty.clone(), false),
    };
    if errors.is_empty() {
        let wording = Wording {
            reference: format!(
                "an argument may be `&T`, but no borrow may stand inside its type: take an owned type (`String` for `&str`, `Vec<T>` for `&[T]`){}",
                kind.or_skip()
            ),
            lifetime: lifetime_message(kind),
            impl_trait: format!(
                "the type of an argument must be known where the call is made: name it instead of `impl Trait`{}",
                kind.or_skip()
            ),
        };
        borrowed::check(&object, local, &wording, errors);
    }
    let object = match actor {
        Some(actor) => self_type::write_out(object, actor),
        None => object,
    };
    Param {
        name: name(&input.pat, index),
        object,
        borrowed,
        written: (*input.ty).clone(),
    }
}

/// The type of the object that `&borrowed` is a borrow of.
fn read_borrowed(borrowed: &Type, errors: &mut Errors) -> Type {
    match borrowed {
        Type::Path(path) if path.path.is_ident("str") => {
            parse_quote_spanned!(at(borrowed)=> ::std::string::String)
        }
        Type::Slice(slice) => {
            let element = &slice.elem;
            parse_quote_spanned!(at(borrowed)=> ::std::vec::Vec<#element>)
        }
        Type::TraitObject(object) => {
            errors.push(
                object,
                "an argument is an object of one known type: name it instead of `dyn Trait`",
            );
            borrowed.clone()
        }
        _ => borrowed.clone(),
    }
}

fn lifetime_message(kind: Kind) -> String {
    format!(
        "{} cannot borrow from its caller, who may be on another core or machine: remove the lifetime, take values or plain `&T`{}",
        kind.noun(),
        kind.or_skip()
    )
}

/// Generated tokens that errors show at the user's `tokens`.
fn at(tokens: impl Spanned) -> Span {
    Span::call_site().located_at(tokens.span())
}

/// The name of the parameter: the user's, or `argN` for `_` and for patterns (MAC-3).
fn name(pattern: &Pat, index: usize) -> Ident {
    let span = Span::mixed_site().located_at(pattern.span());
    match pattern {
        Pat::Ident(ident) => {
            let mut name = ident.ident.clone();
            if name.unraw() == "self" {
                name = format_ident!("arg{index}");
            }
            name.set_span(Span::mixed_site().located_at(ident.ident.span()));
            name
        }
        _ => Ident::new(&format!("arg{index}"), span),
    }
}
