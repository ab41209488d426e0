import EventBus
import HTTPTypes
import Hummingbird
import Logging

/// Middleware that assigns each request the correlation id that its client sent, or a new one, and returns it in the
/// response. It also assigns the budget for bodies.
struct CorrelationMiddleware: RouterMiddleware {
    /// The minimum level of a request's logger.
    let level: Logger.Level
    let bodies: BodyBudget

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        if let id = Self.correlationID(of: request) { context.correlationID = id }
        context.bodies = bodies
        context.logger.logLevel = level
        context.logger[metadataKey: "correlation-id"] = "\(context.correlationID)"
        var response = try await next(request, context)
        response.headers[.correlationID] = context.correlationID.rawValue
        return response
    }

    /// Returns the client's correlation id if it is a single text of 1 to 255 printable ASCII characters.
    static func correlationID(of request: Request) -> CorrelationID? {
        let values = request.headers[values: .correlationID]
        guard values.count == 1, let text = values.first, (1...255).contains(text.utf8.count),
            text.utf8.allSatisfy({ (0x20...0x7E).contains($0) })
        else { return nil }
        return CorrelationID(text)
    }
}
