//! Every mistake found in one item, reported together.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// Collects errors, so that an item with three mistakes gets three messages at once.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds an error that points at `tokens`.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.add(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error made elsewhere.
    pub(crate) fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Takes the other's errors over.
    pub(crate) fn merge(&mut self, other: Errors) {
        if let Some(error) = other.0 {
            self.add(error);
        }
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The errors as items for the compiler to report; empty if there are none.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.0
            .map(|error| error.into_compile_error())
            .unwrap_or_default()
    }
}
