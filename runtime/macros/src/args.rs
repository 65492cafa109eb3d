//! What stands in the parentheses of an attribute: `#[maser::task(num_cpus = 2, stream)]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Lit, LitFloat, LitInt, Token};

/// Results a call can have; `maser::__private::Returns` is implemented for tuples up to this length.
const RETURNS_MAX: usize = 8;

/// Arguments that `local` functions cannot have.
const BY_BYTES: &[&str] = &[
    "max_restarts",
    "max_task_retries",
    "checkpoint_interval",
    "retry_errors",
];

/// Where the arguments stand; decides which are known.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Task,
    Actor,
    Method,
}

impl Place {
    fn known(self) -> &'static [&'static str] {
        match self {
            Place::Task => &[
                "num_cpus",
                "num_gpus",
                "max_retries",
                "retry_errors",
                "max_calls",
                "num_returns",
                "stream",
                "local",
            ],
            Place::Actor => &[
                "num_cpus",
                "num_gpus",
                "max_concurrency",
                "max_restarts",
                "max_task_retries",
                "checkpoint_interval",
                "local",
            ],
            Place::Method => &["num_returns", "stream", "max_task_retries", "skip"],
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Place::Task => "#[maser::task]",
            Place::Actor => "#[maser::actor]",
            Place::Method => "#[maser] on a method",
        }
    }
}

/// The arguments of one attribute.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) local: bool,
    pub(crate) stream: bool,
    pub(crate) skip: bool,
    /// How many parts the result has, where it was said.
    pub(crate) num_returns: Option<usize>,
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    max_calls: Option<u32>,
    max_retries: Option<i32>,
    max_concurrency: Option<u32>,
    max_restarts: Option<i32>,
    max_task_retries: Option<i32>,
    /// Types of errors; none is all.
    retry_errors: Option<Vec<syn::Type>>,
    /// The class saves its state after every so many calls; where that stands.
    pub(crate) checkpoint_interval: Option<(u32, Span)>,
    seen: Vec<String>,
}

impl Args {
    /// Parses the tokens between the parentheses.
    pub(crate) fn parse(place: Place, tokens: TokenStream) -> syn::Result<Args> {
        let mut args = Args::default();
        syn::meta::parser(|meta| args.one(place, &meta)).parse2(tokens)?;
        Ok(args)
    }

    /// What a method starts from: its block may be `local`.
    pub(crate) fn of_method(local: bool) -> Args {
        Args {
            local,
            ..Args::default()
        }
    }

    /// Adds the arguments of one `#[maser(..)]` of a method.
    pub(crate) fn add_attribute(&mut self, attribute: &syn::Attribute) -> syn::Result<()> {
        attribute.parse_nested_meta(|meta| self.one(Place::Method, &meta))
    }

    fn one(&mut self, place: Place, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let name = meta
            .path
            .get_ident()
            .map(ToString::to_string)
            .unwrap_or_default();
        if !place.known().contains(&name.as_str()) {
            let known = place
                .known()
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>();
            return Err(meta.error(format!(
                "{} has no argument `{}`: the arguments are {}",
                place.attribute(),
                meta.path.to_token_stream(),
                known.join(", "),
            )));
        }
        if self.seen.contains(&name) {
            return Err(meta.error(format!("`{name}` stands here twice: keep one of them")));
        }
        match name.as_str() {
            "local" | "stream" | "skip" => {
                if meta.input.peek(Token![=]) {
                    return Err(meta.error(format!("`{name}` takes no value: write `{name}`")));
                }
                match name.as_str() {
                    "local" => self.local = true,
                    "stream" => self.stream = true,
                    _ => self.skip = true,
                }
            }
            "num_cpus" => self.num_cpus = Some(amount(meta, &name)?),
            "num_gpus" => self.num_gpus = Some(amount(meta, &name)?),
            "max_calls" => self.max_calls = Some(whole(meta, &name, "a whole number from 0")?),
            "max_concurrency" => {
                let span = meta
                    .path
                    .get_ident()
                    .map_or_else(Span::call_site, |ident| ident.span());
                let count = whole(meta, &name, "a whole number from 1")?;
                if count == 0 {
                    return Err(syn::Error::new(span, "`max_concurrency` is at least 1"));
                }
                self.max_concurrency = Some(count);
            }
            "max_retries" => self.max_retries = Some(retries(meta, &name)?),
            "max_restarts" => self.max_restarts = Some(retries(meta, &name)?),
            "max_task_retries" => self.max_task_retries = Some(retries(meta, &name)?),
            "retry_errors" => self.retry_errors = Some(error_types(meta)?),
            "checkpoint_interval" => {
                let span = meta.path.span();
                let count = whole(meta, &name, "a whole number from 1")?;
                if count == 0 {
                    return Err(syn::Error::new(span, "`checkpoint_interval` is at least 1"));
                }
                self.checkpoint_interval = Some((count, span));
            }
            _ => {
                let count: usize = whole(meta, &name, "a whole number from 1 to 8")?;
                if !(1..=RETURNS_MAX).contains(&count) {
                    return Err(meta.error("`num_returns` is a whole number from 1 to 8"));
                }
                self.num_returns = Some(count);
            }
        }
        self.seen.push(name);
        let by_bytes = self
            .seen
            .iter()
            .find(|name| BY_BYTES.contains(&name.as_str()));
        if let (true, Some(first)) = (self.local, by_bytes) {
            return Err(meta.error(format!(
                "`{first}` needs values as bytes, to go on with them after a failure, and those of `local` have none: keep one of `{first}` and `local`",
            )));
        }
        if self.stream && self.retry_errors.is_some() {
            return Err(meta.error(
                "`retry_errors` runs the task again when it failed, and a task with `stream` has given items by then: keep one of them",
            ));
        }
        if self.stream && self.num_returns.is_some() {
            return Err(meta.error(
                "`stream` gives a `Ref` for each item, `num_returns` one for each part of a tuple: keep one of them",
            ));
        }
        Ok(())
    }

    /// The value of type `maser::__private::Defaults`.
    pub(crate) fn defaults(&self) -> TokenStream {
        let num_cpus = self
            .num_cpus
            .map(|n| quote!(num_cpus: ::core::option::Option::Some(#n),));
        let num_gpus = self.num_gpus.map(|n| quote!(num_gpus: #n,));
        let max_calls = self.max_calls.map(|n| quote!(max_calls: #n,));
        let max_retries = self
            .max_retries
            .map(|n| quote!(max_retries: ::core::option::Option::Some(#n),));
        let max_concurrency = self.max_concurrency.map(|n| quote!(max_concurrency: #n,));
        let max_restarts = self
            .max_restarts
            .map(|n| quote!(max_restarts: ::core::option::Option::Some(#n),));
        let max_task_retries = self
            .max_task_retries
            .map(|n| quote!(max_task_retries: ::core::option::Option::Some(#n),));
        let retry_errors = self.retry_errors.as_ref().map(|types| {
            let retried = match types.as_slice() {
                [] => quote!(All),
                types => quote!(Types(&[#(::maser::__private::is_error::<#types>),*])),
            };
            quote!(retry_errors: ::maser::__private::Retried::#retried,)
        });
        quote! {
            ::maser::__private::Defaults {
                #num_cpus #num_gpus #max_calls #max_retries #max_concurrency
                #max_restarts #max_task_retries #retry_errors
                ..::maser::__private::Defaults::NONE
            }
        }
    }
}

/// A number of CPUs or GPUs, which may be a fraction.
fn amount(meta: &ParseNestedMeta<'_>, name: &str) -> syn::Result<f64> {
    let literal: Lit = meta.value()?.parse()?;
    let parsed = match &literal {
        Lit::Int(int) => int.base10_parse::<f64>().ok(),
        Lit::Float(float) => LitFloat::base10_parse::<f64>(float).ok(),
        _ => None,
    };
    parsed
        .filter(|n| n.is_finite() && *n >= 0.0)
        .ok_or_else(|| {
            syn::Error::new_spanned(
                &literal,
                format!("`{name}` is a number from 0: `{name} = 2` or `0.5`"),
            )
        })
}

fn whole<N>(meta: &ParseNestedMeta<'_>, name: &str, range: &str) -> syn::Result<N>
where
    N: std::str::FromStr,
    N::Err: std::fmt::Display,
{
    let literal: Lit = meta.value()?.parse()?;
    let parsed = match &literal {
        Lit::Int(int) => int.base10_parse::<N>().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| syn::Error::new_spanned(&literal, format!("`{name}` is {range}")))
}

/// `retry_errors`, or `retry_errors = [A, B]`.
fn error_types(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<syn::Type>> {
    if !meta.input.peek(Token![=]) {
        return Ok(Vec::new());
    }
    let value = meta.value()?;
    let wrong = "`retry_errors` stands alone for all errors, or lists types of errors: `retry_errors = [A, B]`";
    if !value.peek(syn::token::Bracket) {
        return Err(value.error(wrong));
    }
    let types;
    let bracket = syn::bracketed!(types in value);
    let types = types.parse_terminated(<syn::Type as syn::parse::Parse>::parse, Token![,])?;
    match types.is_empty() {
        true => Err(syn::Error::new(bracket.span.join(), wrong)),
        false => Ok(types.into_iter().collect()),
    }
}

fn retries(meta: &ParseNestedMeta<'_>, name: &str) -> syn::Result<i32> {
    let value = meta.value()?;
    let minus: Option<Token![-]> = value.parse()?;
    let literal: LitInt = value.parse()?;
    let count = literal.base10_parse::<i32>()?;
    match (minus, count) {
        (None, count) => Ok(count),
        (Some(_), 1) => Ok(-1),
        (Some(_), _) => Err(syn::Error::new_spanned(
            &literal,
            format!("`{name}` is a whole number from 0, or -1 for no limit"),
        )),
    }
}
