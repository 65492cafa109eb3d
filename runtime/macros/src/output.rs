//! The result of a function: what a `Ref` to it refers to, and how errors are taken out of it.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    GenericArgument, Ident, PathArguments, PathSegment, ReturnType, Type, TypeParamBound, TypePath,
    parse_quote, parse_quote_spanned,
};

use crate::args::Args;
use crate::borrowed::{self, Wording};
use crate::errors::Errors;
use crate::rules::Kind;
use crate::self_type;

/// How many refs a call gives.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// One, to the whole value.
    One,
    /// One for each part of a tuple.
    Many,
    /// One for each item of an iterator.
    Stream,
}

/// The result of one function.
pub(crate) struct Output {
    pub(crate) shape: Shape,
    /// The type a ref refers to; for `Many` the whole tuple, for `Stream` an item.
    value: Type,
    /// The types that must be values.
    checked: Vec<Type>,
    /// The type of the error that it returns.
    error: Option<Type>,
    /// Whether the function returns a `Result`.
    fallible: bool,
    /// Whether the items of its iterator are `Result`s.
    item_fallible: bool,
    span: Span,
}

impl Output {
    /// Reads the return type; what is wrong with it is reported.
    pub(crate) fn read(
        kind: Kind,
        output: &ReturnType,
        args: &Args,
        actor: Option<&TypePath>,
        errors: &mut Errors,
    ) -> Output {
        let written: Type = match output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, ty) => plain(ty).clone(),
        };
        check_written(kind, &written, args, errors);
        if let Some(error) = unshared_error(&written) {
            errors.push(
                error,
                format!(
                    "the error of {} goes to whoever waits for the result, on any thread: write `Box<dyn Error + Send + Sync>`{}",
                    kind.noun(),
                    kind.or_skip()
                ),
            );
        }
        let span = written.span();
        let written = match actor {
            Some(actor) => self_type::write_out(written, actor),
            None => written,
        };
        let fallible = result_segment(&written).is_some();
        let mut output = Output {
            shape: Shape::One,
            value: if fallible {
                ok_of(&written)
            } else {
                written.clone()
            },
            checked: Vec::new(),
            // A stream's own type may be nameless: `Result<impl Iterator, E>`.
            error: (fallible && !args.stream).then(|| err_of(&written)),
            fallible,
            item_fallible: false,
            span,
        };
        let inner = if fallible {
            first_argument(&written)
        } else {
            Some(&written)
        };
        if args.stream {
            output.shape = Shape::Stream;
            let item = item_of(inner.unwrap_or(&output.value));
            output.item_fallible = result_segment(&item).is_some();
            output.error = output.item_fallible.then(|| err_of(&item));
            output.checked = vec![shown(&item)];
            output.value = if output.item_fallible {
                ok_of(&item)
            } else {
                item
            };
        } else if let Some(count) = args.num_returns.filter(|count| *count > 1) {
            output.shape = Shape::Many;
            match inner {
                Some(Type::Tuple(tuple)) if tuple.elems.len() == count => {
                    output.checked = tuple.elems.iter().cloned().collect();
                }
                _ => errors.push(
                    output_tokens(&written, inner),
                    format!("`num_returns = {count}` needs a tuple of {count} written out here: `(A, B)` or `Result<(A, B), E>` for 2"),
                ),
            }
        } else {
            output.checked = vec![shown(&written)];
        }
        output
    }

    /// The type a ref refers to.
    pub(crate) fn value(&self) -> &Type {
        &self.value
    }

    /// The type of the error that it returns, if it does.
    pub(crate) fn error(&self) -> Option<&Type> {
        self.error.as_ref()
    }

    /// The types that must be values, on the user's tokens (MAC-5).
    pub(crate) fn checked(&self) -> &[Type] {
        &self.checked
    }

    /// The types that refs refer to; none for a stream, whose item may be none for another reason.
    pub(crate) fn parts(&self) -> Vec<&Type> {
        match self.shape {
            Shape::Many => self.checked.iter().collect(),
            Shape::One => vec![&self.value],
            Shape::Stream => Vec::new(),
        }
    }

    /// What `remote` returns.
    pub(crate) fn refs(&self) -> TokenStream {
        let value = &self.value;
        match self.shape {
            Shape::One => quote!(::maser::Ref<#value>),
            Shape::Many => quote!(<#value as ::maser::__private::Returns>::Refs),
            Shape::Stream => quote!(::maser::RefStream<#value>),
        }
    }

    /// What `remote` returns, in words.
    pub(crate) fn refs_in_words(&self) -> &'static str {
        match self.shape {
            Shape::One => "a reference to its result",
            Shape::Many => "one reference to each part of its result",
            Shape::Stream => "a stream of references to its items, each as soon as it is made",
        }
    }

    /// `call`, whose value is what the user's function returned, as `Result<_, Failure>`.
    pub(crate) fn outcome(&self, call: TokenStream) -> TokenStream {
        self.std_result(self.fallible, call)
    }

    /// The same for one item of a stream.
    pub(crate) fn item_outcome(&self, item: TokenStream) -> TokenStream {
        self.std_result(self.item_fallible, item)
    }

    fn std_result(&self, fallible: bool, value: TokenStream) -> TokenStream {
        if fallible {
            let span = Span::call_site().located_at(self.span);
            // The span of the call's argument is where an error about the error type points.
            let error = Ident::new("error", span);
            let convert = quote_spanned!(span=> ::maser::__private::user_error(#error));
            quote! {
                ::core::result::Result::map_err(
                    ::maser::__private::ResultLike::into_std(#value),
                    |#error| #convert,
                )
            }
        } else {
            quote!(::core::result::Result::<_, ::maser::__private::Failure>::Ok(#value))
        }
    }
}

fn check_written(kind: Kind, written: &Type, args: &Args, errors: &mut Errors) {
    let noun = kind.noun();
    let or_skip = kind.or_skip();
    match written {
        Type::Never(never) => {
            errors.push(
                never,
                format!("{noun} must return: its result is what a caller waits for{or_skip}"),
            );
        }
        _ if args.stream => {}
        _ => {
            let wording = Wording {
                reference: format!(
                    "a result is an object of its own and cannot borrow: return an owned value (`String` for `&str`, `Vec<T>` for `&[T]`){or_skip}"
                ),
                lifetime: format!(
                    "a result is an object of its own and cannot borrow: return an owned value{or_skip}"
                ),
                impl_trait: format!(
                    "the type of a result must be known where the call is made: name it instead of `impl Trait`, or add `stream` if it is an iterator whose items are to be sent one by one{or_skip}"
                ),
            };
            borrowed::check(written, args.local, &wording, errors);
        }
    }
}

/// `ty` without parentheses and the groups that macros put around types.
fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => plain(&inner.elem),
        Type::Group(inner) => plain(&inner.elem),
        _ => ty,
    }
}

/// The last segment of a path that ends in `Result`.
fn result_segment(ty: &Type) -> Option<&PathSegment> {
    match plain(ty) {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .filter(|segment| segment.ident == "Result"),
        _ => None,
    }
}

/// `T` of `Result<T, ..>`, as written.
fn first_argument(ty: &Type) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &result_segment(ty)?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(plain(ty)),
        _ => None,
    })
}

/// `Box<dyn Error>` in `Result<T, Box<dyn Error>>`, which may not leave its thread.
fn unshared_error(ty: &Type) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &result_segment(ty)?.arguments else {
        return None;
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(plain(ty)),
        _ => None,
    });
    let error = types.into_iter().nth(1)?;
    let Type::Path(path) = error else {
        return None;
    };
    let segment = path.path.segments.last()?;
    let PathArguments::AngleBracketed(inner) = &segment.arguments else {
        return None;
    };
    let Some(GenericArgument::Type(Type::TraitObject(object))) = inner.args.first() else {
        return None;
    };
    let names: Vec<String> = object
        .bounds
        .iter()
        .filter_map(|bound| match bound {
            TypeParamBound::Trait(bound) => bound.path.segments.last(),
            _ => None,
        })
        .map(|segment| segment.ident.to_string())
        .collect();
    let has = |name: &str| names.iter().any(|other| other == name);
    (segment.ident == "Box" && has("Error") && !(has("Send") && has("Sync"))).then_some(error)
}

/// The value type of a `Result`, whatever alias it is.
fn ok_of(result: &Type) -> Type {
    let span = Span::call_site().located_at(result.span());
    parse_quote_spanned!(span=> <#result as ::maser::__private::ResultLike>::Ok)
}

/// The error type of a `Result`, whatever alias it is.
fn err_of(result: &Type) -> Type {
    let span = Span::call_site().located_at(result.span());
    parse_quote_spanned!(span=> <#result as ::maser::__private::ResultLike>::Err)
}

/// The type to show in an error about the value type of `ty`.
fn shown(ty: &Type) -> Type {
    match (result_segment(ty), first_argument(ty)) {
        (Some(_), Some(first)) => first.clone(),
        (Some(_), None) => ok_of(ty),
        (None, _) => ty.clone(),
    }
}

/// The item type of an iterator: the one of `impl Iterator<Item = T>`, else by projection.
fn item_of(iterator: &Type) -> Type {
    written_item(iterator).unwrap_or_else(|| {
        let span = Span::call_site().located_at(iterator.span());
        parse_quote_spanned!(span=> <#iterator as ::core::iter::IntoIterator>::Item)
    })
}

fn written_item(ty: &Type) -> Option<Type> {
    match plain(ty) {
        Type::ImplTrait(ty) => ty.bounds.iter().find_map(bound_item),
        Type::TraitObject(ty) => ty.bounds.iter().find_map(bound_item),
        Type::Path(path) => match &path.path.segments.last()?.arguments {
            PathArguments::AngleBracketed(arguments) => {
                arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::Type(inner @ (Type::ImplTrait(_) | Type::TraitObject(_))) => {
                        written_item(inner)
                    }
                    _ => None,
                })
            }
            _ => None,
        },
        _ => None,
    }
}

fn bound_item(bound: &TypeParamBound) -> Option<Type> {
    let TypeParamBound::Trait(bound) = bound else {
        return None;
    };
    let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(assoc) if assoc.ident == "Item" => Some(assoc.ty.clone()),
        _ => None,
    })
}

fn output_tokens<'a>(written: &'a Type, inner: Option<&'a Type>) -> &'a Type {
    inner.unwrap_or(written)
}
