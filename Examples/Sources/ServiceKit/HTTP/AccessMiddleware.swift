import Hummingbird

/// Middleware that refuses requests without a valid token, before it reads their bodies.
struct AccessMiddleware: RouterMiddleware {
    /// The path of the description of the interface, which everyone may read.
    static let descriptionPath = "/openapi.json"

    let access: HTTPAccess

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        if request.uri.path == Self.descriptionPath, [.get, .head].contains(request.method) {
            return try await next(request, context)
        }
        var context = context
        context.client = try access.client(of: request)
        return try await next(request, context)
    }
}
