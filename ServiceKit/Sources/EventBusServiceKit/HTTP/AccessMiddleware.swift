import Hummingbird

/// Middleware that refuses requests without a valid token, before it reads their bodies.
struct AccessMiddleware: RouterMiddleware {
    let access: HTTPAccess
    /// The paths that everyone may read.
    let publicPaths: Set<String>

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        if [.get, .head].contains(request.method), publicPaths.contains(request.uri.path) {
            return try await next(request, context)
        }
        var context = context
        context.client = try access.client(of: request)
        return try await next(request, context)
    }
}
