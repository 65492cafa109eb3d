//! What the signature of a task, a constructor or a method may look like.

use syn::{GenericParam, ItemFn, ReturnType, Signature, Type};

use crate::errors::Errors;

/// Parameters a call can carry; tuples of holders are implemented up to this length.
pub(crate) const PARAMETERS_MAX: usize = 12;

/// What a signature belongs to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Task,
    Constructor,
    Method,
}

impl Kind {
    /// With its article, to begin a sentence in the middle.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::Task => "a task",
            Kind::Constructor => "an actor's constructor",
            Kind::Method => "a method of an actor",
        }
    }

    /// What to do with a method that cannot be called from outside.
    pub(crate) fn or_skip(self) -> &'static str {
        match self {
            Kind::Method => ", or put `#[maser(skip)]` on it if it is not called from outside",
            _ => "",
        }
    }
}

/// Reports everything but the types of parameters and result.
pub(crate) fn check_signature(kind: Kind, signature: &Signature, errors: &mut Errors) {
    let noun = kind.noun();
    let or_skip = kind.or_skip();
    if let Some(token) = &signature.asyncness {
        match kind {
            Kind::Task => errors.push(
                token,
                "a task is a plain function: remove `async`; `get` inside a task waits without blocking its core",
            ),
            Kind::Constructor => errors.push(
                token,
                "an actor's constructor is a plain function: remove `async`; `get` inside it waits without blocking its core",
            ),
            Kind::Method => {}
        }
    }
    if let Some(token) = &signature.unsafety {
        errors.push(
            token,
            format!(
                "{noun} cannot be `unsafe`: whoever calls it from afar cannot keep its contract; make it a safe function with an `unsafe` block inside{or_skip}"
            ),
        );
    }
    if let Some(abi) = &signature.abi {
        errors.push(
            abi,
            format!("{noun} is called by the runtime: remove `extern`, or call the `extern` function from a plain one{or_skip}"),
        );
    }
    if let Some(variadic) = &signature.variadic {
        errors.push(
            variadic,
            format!("{noun} has a fixed number of parameters: take a `Vec<T>`"),
        );
    }
    for parameter in &signature.generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) => errors.push(
                lifetime,
                format!("{noun} cannot borrow from its caller, who may be on another core or machine: remove the lifetime, take values or plain `&T`{or_skip}"),
            ),
            _ => errors.push(
                parameter,
                format!("{noun} cannot be generic, since it is found by its name: write one for each type, and call the generic function from there{or_skip}"),
            ),
        }
    }
    let count = signature
        .inputs
        .iter()
        .filter(|input| matches!(input, syn::FnArg::Typed(_)))
        .count();
    if count > PARAMETERS_MAX {
        let first = signature
            .inputs
            .iter()
            .filter(|input| matches!(input, syn::FnArg::Typed(_)))
            .nth(PARAMETERS_MAX);
        errors.push(
            first,
            format!("{noun} has at most {PARAMETERS_MAX} parameters, this one has {count}: put some of them in a struct{or_skip}"),
        );
    }
}

/// Reports what `#[maser::main]` cannot take.
pub(crate) fn check_main(function: &ItemFn, errors: &mut Errors) {
    let signature = &function.sig;
    if signature.ident != "main" {
        errors.push(
            &signature.ident,
            "`#[maser::main]` belongs on `fn main`: for other functions there is `#[maser::task]`",
        );
    }
    if let Some(token) = &signature.asyncness {
        errors.push(
            token,
            "`#[maser::main]` runs `main` as a task: remove `async`; `get` waits without blocking the core",
        );
    }
    if let Some(token) = &signature.unsafety {
        errors.push(
            token,
            "`main` cannot be `unsafe`: put an `unsafe` block inside",
        );
    }
    if let Some(abi) = &signature.abi {
        errors.push(abi, "`main` is a plain function: remove `extern`");
    }
    if !signature.generics.params.is_empty() {
        errors.push(
            &signature.generics,
            "`main` has no generic parameters: remove them",
        );
    }
    if !signature.inputs.is_empty() {
        errors.push(
            &signature.inputs,
            "`main` has no parameters: read `std::env::args()` inside, and start the runtime with `maser::init()`",
        );
    }
    if let ReturnType::Type(_, ty) = &signature.output
        && let Type::ImplTrait(ty) = &**ty
    {
        errors.push(
            ty,
            "name the type that `main` returns, for instance `maser::Result<()>`",
        );
    }
}
