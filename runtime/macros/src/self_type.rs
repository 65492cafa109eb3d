//! Writes `Self` out: generated code stands outside the user's `impl` block.

use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{ExprPath, Path, QSelf, Type, TypePath};

/// `ty` with `Self` written as `actor`.
pub(crate) fn write_out(mut ty: Type, actor: &TypePath) -> Type {
    Writer { actor }.visit_type_mut(&mut ty);
    ty
}

struct Writer<'a> {
    actor: &'a TypePath,
}

impl Writer<'_> {
    /// The actor's type, placed where `Self` stood.
    fn actor_at(&self, span: Span) -> Type {
        let mut actor = self.actor.clone();
        for segment in &mut actor.path.segments {
            segment
                .ident
                .set_span(segment.ident.span().located_at(span));
        }
        Type::Path(actor)
    }

    /// `Self::X` as `<Actor>::X`.
    fn qualify(&self, qself: &mut Option<QSelf>, path: &mut Path) {
        if qself.is_some() || path.segments.len() < 2 || path.segments[0].ident != "Self" {
            return;
        }
        let span = path.segments[0].ident.span();
        let rest: Punctuated<_, _> = std::mem::take(&mut path.segments)
            .into_iter()
            .skip(1)
            .collect();
        *qself = Some(QSelf {
            lt_token: syn::token::Lt(span),
            ty: Box::new(self.actor_at(span)),
            position: 0,
            as_token: None,
            gt_token: syn::token::Gt(span),
        });
        *path = Path {
            leading_colon: Some(syn::token::PathSep(span)),
            segments: rest,
        };
    }
}

impl VisitMut for Writer<'_> {
    fn visit_type_mut(&mut self, node: &mut Type) {
        if let Type::Path(TypePath { qself: None, path }) = node
            && path.is_ident("Self")
        {
            *node = self.actor_at(path.segments[0].ident.span());
            return;
        }
        visit_mut::visit_type_mut(self, node);
    }

    fn visit_type_path_mut(&mut self, node: &mut TypePath) {
        self.qualify(&mut node.qself, &mut node.path);
        visit_mut::visit_type_path_mut(self, node);
    }

    fn visit_expr_path_mut(&mut self, node: &mut ExprPath) {
        self.qualify(&mut node.qself, &mut node.path);
        visit_mut::visit_expr_path_mut(self, node);
    }
}
