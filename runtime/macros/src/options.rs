//! The builders behind `add::options()` and `Echo::options()`: the runtime's options, and `remote` with the types of
//! one function.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

/// One setter: name, parameters, arguments, documentation.
type Setter = (
    &'static str,
    fn() -> TokenStream,
    &'static str,
    &'static str,
);

const NUMBER: fn() -> TokenStream = || quote!(impl ::core::convert::Into<f64>);

const TASK: &[Setter] = &[
    (
        "num_cpus",
        NUMBER,
        "count",
        "Schedulers it takes while it runs; may be a fraction.",
    ),
    (
        "num_gpus",
        NUMBER,
        "count",
        "GPUs it takes while it runs; may be a fraction.",
    ),
    (
        "max_retries",
        || quote!(i32),
        "count",
        "How often it is started again when its worker dies; -1 = without limit.",
    ),
    (
        "retry_errors",
        || quote!(::maser::RetryErrors),
        "errors",
        "After which of its own errors it runs again.",
    ),
    (
        "max_calls",
        || quote!(u32),
        "count",
        "Its worker process is replaced after that many calls; 0 = never.",
    ),
    (
        "name",
        || quote!(&str),
        "name",
        "The name that errors, traces and listings show.",
    ),
    (
        "scheduler",
        || quote!(usize),
        "index",
        "The scheduler it runs on, counted from 0.",
    ),
];

const ACTOR: &[Setter] = &[
    (
        "num_cpus",
        NUMBER,
        "count",
        "Schedulers the actor takes while it lives; may be a fraction.",
    ),
    (
        "num_gpus",
        NUMBER,
        "count",
        "GPUs the actor takes while it lives; may be a fraction.",
    ),
    (
        "name",
        || quote!(&str),
        "name",
        "The name under which other processes find the actor.",
    ),
    (
        "max_concurrency",
        || quote!(u32),
        "count",
        "How many `&self` and `async` calls may be under way at once.",
    ),
    (
        "scheduler",
        || quote!(usize),
        "index",
        "The scheduler the actor lives on, counted from 0.",
    ),
];

/// A builder type.
pub(crate) struct Builder {
    /// Its generated name.
    pub(crate) name: Ident,
    setters: Vec<Setter>,
    options: Ident,
    /// What it starts, for the documentation.
    subject: String,
}

impl Builder {
    /// The builder of a task.
    pub(crate) fn task(name: Ident, subject: String) -> Builder {
        Builder {
            name,
            setters: TASK.to_vec(),
            options: format_ident!("TaskOptions"),
            subject,
        }
    }

    /// The builder of an actor; a local one cannot choose its isolation.
    pub(crate) fn actor(name: Ident, subject: String, local: bool) -> Builder {
        let mut setters = ACTOR.to_vec();
        if !local {
            setters.push((
                "isolation",
                || quote!(::maser::Isolation),
                "isolation",
                "Whether the actor is a thread's guest or has a process of its own.",
            ));
            setters.push((
                "memory",
                || quote!(usize),
                "bytes",
                "Most bytes that the actor's process may allocate; needs a process of its own.",
            ));
            setters.push((
                "max_restarts",
                || quote!(i32),
                "count",
                "How often the actor is made again when its process died; -1 = without limit.",
            ));
            setters.push((
                "max_task_retries",
                || quote!(i32),
                "count",
                "How often a call without an answer is sent again when the actor's process died; -1 = without limit.",
            ));
        }
        Builder {
            name,
            setters,
            options: format_ident!("ActorOptions"),
            subject,
        }
    }

    /// The type, its setters and `remote`.
    pub(crate) fn tokens(&self, visibility: &syn::Visibility, remote: TokenStream) -> TokenStream {
        let Builder {
            name,
            options,
            subject,
            ..
        } = self;
        let setters = self.setters.iter().map(|(setter, ty, argument, doc)| {
            let setter = Ident::new(setter, name.span());
            let argument = format_ident!("{argument}");
            let ty = ty();
            quote! {
                #[doc = #doc]
                #visibility fn #setter(self, #argument: #ty) -> Self {
                    Self(self.0.#setter(#argument))
                }
            }
        });
        let about = format!("Sets options and then starts {subject} with `remote`.");
        quote! {
            #[doc = #about]
            #[must_use = "nothing is started before `remote` is called"]
            #visibility struct #name(::maser::#options);
            impl #name {
                #(#setters)*
                /// An amount of a resource that nodes declare by name.
                #visibility fn resource(
                    self,
                    name: &str,
                    amount: impl ::core::convert::Into<f64>,
                ) -> Self {
                    Self(self.0.resource(name, amount))
                }
                #remote
            }
        }
    }
}
