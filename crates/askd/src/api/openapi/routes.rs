//! Routes, each with what the OpenAPI file says of it. That is made when somebody asks for the file, and not with the
//! router: it is more than all else that an idle server has in memory.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use utoipa::Path;
use utoipa::openapi::{HttpMethod, OpenApi};

use crate::app::App;

/// Handlers, as [`Routes::routes`] takes them: method and path of each are those of its `#[utoipa::path]`.
macro_rules! routes {
    ($($($part:ident)::+),+ $(,)?) => {{
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($($part)::+),+))]
        struct Told;
        $crate::api::openapi::routes::Described {
            mounted: vec![$($crate::api::openapi::routes::mounted!([] $($part)::+)),+],
            tell: <Told as utoipa::OpenApi>::openapi,
        }
    }};
}

/// One handler. The type that tells of it stands beside it and has its name, with a prefix.
macro_rules! mounted {
    ([$($module:ident)*] $next:ident :: $($rest:tt)+) => {
        $crate::api::openapi::routes::mounted!([$($module)* $next] $($rest)+)
    };
    ([$($module:ident)*] $handler:ident) => {
        pastey::paste! {
            $crate::api::openapi::routes::mount::<$($module::)* [<__path_ $handler>], _, _>($($module::)* $handler)
        }
    };
}

pub(in crate::api) use {mounted, routes};

/// What [`routes!`] makes.
pub(in crate::api) struct Described {
    pub(in crate::api) mounted: Vec<(String, MethodRouter<Arc<App>>)>,
    pub(in crate::api) tell: fn() -> OpenApi,
}

/// A router, and who tells of its routes.
#[derive(Default)]
pub(in crate::api) struct Routes {
    router: Router<Arc<App>>,
    tell: Vec<fn() -> OpenApi>,
}

impl Routes {
    /// With these.
    pub(in crate::api) fn routes(mut self, described: Described) -> Self {
        for (path, handler) in described.mounted {
            self.router = self.router.route(&path, handler);
        }
        self.tell.push(described.tell);
        self
    }

    /// With one that the file does not have.
    pub(in crate::api) fn untold(self, path: &str, handlers: MethodRouter<Arc<App>>) -> Self {
        Self { router: self.router.route(path, handlers), ..self }
    }

    /// With those of another.
    pub(in crate::api) fn merge(mut self, other: Self) -> Self {
        self.tell.extend(other.tell);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// What the file says of them.
    pub(super) fn tell(&self) -> OpenApi {
        let mut all = OpenApi::default();
        for tell in &self.tell {
            all.merge(tell());
        }
        all
    }
}

impl From<Routes> for Router<Arc<App>> {
    fn from(routes: Routes) -> Self {
        routes.router
    }
}

/// A handler at the path and with the methods that `P` names.
pub(in crate::api) fn mount<P: Path, H, T>(handler: H) -> (String, MethodRouter<Arc<App>>)
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    let methods = P::methods().iter().map(filter).reduce(MethodFilter::or);
    (P::path(), methods.map_or_else(MethodRouter::new, |methods| on(methods, handler)))
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}
