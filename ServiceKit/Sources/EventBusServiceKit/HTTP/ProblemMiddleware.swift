import EventBus
import Hummingbird
import Logging
import NIOHTTP1

/// Middleware that answers every error with a problem document. Unexpected errors are logged, and reveal nothing to the
/// client.
struct ProblemMiddleware: RouterMiddleware {
    let routes: RouteTable

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPParserError {
            // Hummingbird answers it and closes the connection.
            throw error
        } catch {
            return try problem(for: error, request, context).response(from: request, context: context)
        }
    }

    private func problem(for error: any Error, _ request: Request, _ context: ServiceRequestContext) -> HTTPProblem {
        switch error {
        case let problem as HTTPProblem: return problem
        case let error as DecodingError: return HTTPProblem(decoding: error)
        case let error as HTTPError where error.status == .notFound && context.endpointPath == RouteTable.unmatched:
            return routes.problem(for: request, context)
        case let error as HTTPError:
            return HTTPProblem(error.status, error.status.reasonPhrase, detail: error.body, headers: error.headers)
        case let error as any HTTPResponseError:
            return HTTPProblem(error.status, error.status.reasonPhrase)
        default:
            break
        }
        if Self.isTemporary(error) {
            context.logger.warning("a request could not be served now", metadata: ["error": "\(error)"])
            return HTTPProblem(
                .serviceUnavailable,
                "The service cannot do this at the moment",
                detail: "Something that it depends on cannot be reached. Try again.",
                headers: [.retryAfter: "1"]
            )
        }
        context.logger.error("a request failed", metadata: ["error": "\(error)"])
        return HTTPProblem(
            .internalServerError,
            "The service failed",
            detail: "This is a mistake of the service's. Its log has the reason under correlation-id "
                + "\(context.correlationID)."
        )
    }

    /// Returns a Boolean value indicating whether the same request may succeed later, because a dependency failed.
    private static func isTemporary(_ error: any Error) -> Bool {
        switch error {
        case is CancellationError: true
        case let error as EventBusError: temporary.contains(error.code)
        default: false
        }
    }

    private static let temporary: Set<EventBusError.Code> = [
        .timedOut, .indeterminate, .blocked, .unavailable, .shuttingDown, .lockTimedOut, .lockLost, .leaseExpired,
    ]
}
