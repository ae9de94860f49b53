//! The table of routes: each entry names the permission that its route needs. The guard, the OpenAPI
//! document and the tests of the doors read it.

use axum::middleware;
use serde_json::Value;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::health;
use super::state::ApiState;
use crate::control::auth::{Scope, guard};

/// Extension of an operation in the OpenAPI document: the permission that it needs.
pub(super) const REQUIRED_SCOPE: &str = "x-required-scope";

/// Routes with their permissions. Without a state it only documents them.
pub(super) struct RouteTable<'a, S> {
    router: OpenApiRouter<S>,
    state: Option<&'a ApiState>,
}

impl<'a, S: Clone + Send + Sync + 'static> RouteTable<'a, S> {
    /// A table that adds to these routes.
    pub(super) fn new(router: OpenApiRouter<S>, state: Option<&'a ApiState>) -> Self {
        Self { router, state }
    }

    /// Adds a route that reads: [`Scope::View`].
    pub(super) fn view(self, route: UtoipaMethodRouter<S>) -> Self {
        self.add(Scope::View, route)
    }

    /// Adds a route that changes something, or shows secrets: [`Scope::Operate`].
    pub(super) fn operate(self, route: UtoipaMethodRouter<S>) -> Self {
        self.add(Scope::Operate, route)
    }

    /// Adds a route that says who may do what: [`Scope::Administer`].
    pub(super) fn administer(self, route: UtoipaMethodRouter<S>) -> Self {
        self.add(Scope::Administer, route)
    }

    /// Adds a route for the other appliances of the cluster: [`Scope::Cluster`].
    pub(super) fn cluster(self, route: UtoipaMethodRouter<S>) -> Self {
        self.add(Scope::Cluster, route)
    }

    fn add(mut self, scope: Scope, route: UtoipaMethodRouter<S>) -> Self {
        let (schemas, mut paths, mut methods) = route;
        for operation in paths.paths.values_mut().flat_map(operations) {
            let extensions = operation.extensions.get_or_insert_default();
            extensions.insert(REQUIRED_SCOPE.to_owned(), Value::from(scope.as_str()));
        }
        if let Some(state) = self.state {
            let started = middleware::from_fn_with_state(state.clone(), health::when_started);
            // The outer one comes first: only callers with permission learn that it starts.
            let guarded = middleware::from_fn_with_state((state.auth.clone(), scope), guard);
            methods = methods.route_layer(started).route_layer(guarded);
        }
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    /// The routes.
    pub(super) fn finish(self) -> OpenApiRouter<S> {
        self.router
    }
}

/// The operations of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().filter_map(Option::as_mut)
}
