//! Finds what may not stand inside a type that travels: borrows, lifetimes and `impl Trait`.
//!
//! `fn(&T) -> &U` and `Fn(&T)` have lifetimes of their own and are left alone.

use syn::visit::{self, Visit};
use syn::{
    Lifetime, ParenthesizedGenericArguments, Type, TypeBareFn, TypeImplTrait, TypeReference,
};

use crate::errors::Errors;

/// The messages for one position (argument or result).
pub(crate) struct Wording {
    pub(crate) reference: String,
    pub(crate) lifetime: String,
    pub(crate) impl_trait: String,
}

/// Reports every borrow, lifetime and `impl Trait` inside `ty`. `'static` is allowed where values are `local`.
pub(crate) fn check(ty: &Type, local: bool, wording: &Wording, errors: &mut Errors) {
    Finder {
        local,
        wording,
        errors,
    }
    .visit_type(ty);
}

struct Finder<'a> {
    local: bool,
    wording: &'a Wording,
    errors: &'a mut Errors,
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_type_reference(&mut self, node: &'ast TypeReference) {
        let is_static = node
            .lifetime
            .as_ref()
            .is_some_and(|lifetime| lifetime.ident == "static");
        if is_static && self.local && node.mutability.is_none() {
            visit::visit_type_reference(self, node);
        } else {
            self.errors.push(node, &self.wording.reference);
        }
    }

    fn visit_lifetime(&mut self, node: &'ast Lifetime) {
        if node.ident != "static" {
            self.errors.push(node, &self.wording.lifetime);
        }
    }

    fn visit_type_impl_trait(&mut self, node: &'ast TypeImplTrait) {
        self.errors.push(node, &self.wording.impl_trait);
    }

    fn visit_type_bare_fn(&mut self, _: &'ast TypeBareFn) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast ParenthesizedGenericArguments) {}
}
