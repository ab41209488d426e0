import EventBus
import HTTPTypes
import Hummingbird
import Tracing

/// A span for each request, within the trace that its headers name, named by its method and its route.
struct ServerSpanMiddleware: RouterMiddleware {
    private let fixedTracer: (any Tracer)?

    /// Spans of the tracer that the process has.
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

/// What requests are called in spans and metrics: few words, whatever clients send.
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
