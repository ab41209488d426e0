import EventBus
import HTTPTypes
import Hummingbird
import Tracing

/// Middleware that creates a span for each request, in the trace of its headers, named by its method and its route.
struct ServerSpanMiddleware: RouterMiddleware {
    private let fixedTracer: (any Tracer)?

    /// Creates middleware that uses the tracer of the process.
    init() {
        fixedTracer = nil
    }

    init(tracer: any Tracer) {
        fixedTracer = tracer
    }

    func handle(
        _ request: Request,
        context: ServiceRequestContext,
        next: @concurrent (Request, ServiceRequestContext) async throws -> Response
    ) async throws -> Response {
        let tracer = fixedTracer ?? InstrumentationSystem.tracer
        if tracer is NoOpTracer { return try await next(request, context) }
        var parent = ServiceContext.topLevel
        tracer.extract(request.headers, into: &parent, using: HeaderExtractor())
        let method = HTTPLabels.method(request.method)
        let span = tracer.startAnySpan(method, context: parent, ofKind: .server)
        defer { span.end() }
        span.attributes["http.request.method"] = method
        span.attributes["url.path"] = request.uri.path
        span.attributes["messaging.message.conversation_id"] = context.correlationID.rawValue
        do {
            let response = try await ServiceContext.withValue(span.context) { try await next(request, context) }
            let route = HTTPLabels.route(context.endpointPath)
            span.operationName = "\(method) \(route)"
            span.attributes["http.route"] = route
            span.attributes["http.response.status_code"] = response.status.code
            if response.status.code >= 500 { span.setStatus(SpanStatus(code: .error)) }
            return response
        } catch {
            span.recordError(error)
            span.setStatus(SpanStatus(code: .error))
            throw error
        }
    }
}

private struct HeaderExtractor: Extractor {
    func extract(key: String, from headers: HTTPFields) -> String? {
        HTTPField.Name(key).flatMap { headers[$0] }
    }
}

/// The labels of requests in spans and metrics, which have few values whatever clients send.
enum HTTPLabels {
    private static let methods: Set<String> = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    ]

    static func method(_ method: HTTPRequest.Method) -> String {
        methods.contains(method.rawValue) ? method.rawValue : "_OTHER"
    }

    static func route(_ path: String?) -> String {
        guard let path, path != RouteTable.unmatched else { return "unmatched" }
        return path
    }
}
